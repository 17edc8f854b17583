//! stub
use crate::error::Result;
use crate::job::{Inserted, NewJob};
#[derive(Clone, Debug)]
pub struct Queue;
impl Queue {
    pub async fn insert(&self, _: NewJob) -> Result<Inserted> {
        unimplemented!()
    }
    pub async fn insert_in(&self, _: &mut sqlx::SqliteConnection, _: NewJob) -> Result<Inserted> {
        unimplemented!()
    }
}
