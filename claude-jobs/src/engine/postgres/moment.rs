//! Moments as PostgreSQL keeps them: `timestamptz`, microseconds since the start of the year 2000.

use jiff::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

use crate::clock::timestamp;

/// From the Unix epoch to PostgreSQL's.
const EPOCH: i64 = 946_684_800_000_000;

/// PostgreSQL's earliest moment, in the year 4714 BC: others begin earlier.
const EARLIEST: i64 = -211_813_488_000_000_000;

/// A moment in a parameter or a column. One that the other side cannot hold, such as `infinity`, becomes
/// the nearest that it can.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment(pub(super) Timestamp);

impl Type<Postgres> for Moment {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for Moment {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for Moment {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.0.as_microsecond().saturating_sub(EPOCH).max(EARLIEST), buffer)
    }
}

impl Decode<'_, Postgres> for Moment {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Err("a moment in text form: every query of ours is a prepared one".into());
        }
        let microseconds = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(timestamp(microseconds.saturating_add(EPOCH))))
    }
}
