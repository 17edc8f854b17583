//! A look at a database without changing it: for `doctor`.

use super::address::Address;
use super::connections::Connections;
use super::{explain, schema};
use crate::engine::Inspection;
use crate::error::Result;

/// What is there. Nothing is made.
pub(crate) async fn inspect(url: &str) -> Result<Inspection> {
    let address = Address::parse(url)?;
    let connections = Connections::new(&address);
    match schema::up_to_date(&connections, &address.schema).await {
        Ok(Some(_)) => Ok(Inspection::Ready),
        Ok(None) => Ok(Inspection::NotMigrated),
        Err(error) => Err(explain(&address, error)),
    }
}
