//! What sqlx asks of a database's driver and `Any` never uses: `Any` reads rows and binds values by
//! types of its own. None of these types can have a value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;
use sqlx::encode::Encode;
use sqlx::error::BoxDynError;
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{
    Arguments, Column, ColumnIndex, ConnectOptions, Connection, Database, Either, Error, FromRow,
    IntoArguments, Row, SqlStr, Statement, Transaction, Type, TypeInfo, Value, ValueRef,
};
use sqlx_core::transaction::TransactionManager;
use url::Url;

use super::{Session, SessionOptions};

/// The database whose connections are [`Session`]s.
#[derive(Debug)]
pub(in crate::store::postgres) struct Sessions;

/// Nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::postgres) enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// No values.
#[derive(Debug, Default)]
pub(in crate::store::postgres) struct Nothing;

impl Extend<Nothing> for Nothing {
    fn extend<T: IntoIterator<Item = Nothing>>(&mut self, _: T) {}
}

fn unused() -> Error {
    Error::Configuration("sessions are used by sqlx::Any only".into())
}

impl Database for Sessions {
    type Connection = Session;
    type TransactionManager = Sessions;
    type Row = Never;
    type QueryResult = Nothing;
    type Column = Never;
    type TypeInfo = Never;
    type Value = Never;
    type ValueRef<'r> = Never;
    type Arguments = Nothing;
    type ArgumentBuffer = ();
    type Statement = Never;
    const NAME: &'static str = "PostgreSQL";
    const URL_SCHEMES: &'static [&'static str] = &[super::options::SCHEME];
}

impl Connection for Session {
    type Database = Sessions;
    type Options = SessionOptions;

    async fn close(self) -> Result<(), Error> {
        self.inner.close().await
    }

    async fn close_hard(self) -> Result<(), Error> {
        self.inner.close_hard().await
    }

    async fn ping(&mut self) -> Result<(), Error> {
        self.inner.ping().await
    }

    async fn begin(&mut self) -> Result<Transaction<'_, Sessions>, Error> {
        Err(unused())
    }

    fn shrink_buffers(&mut self) {
        self.inner.shrink_buffers();
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Err(unused())
    }

    fn should_flush(&self) -> bool {
        false
    }
}

impl FromStr for SessionOptions {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_url(&text.parse().map_err(|_| unused())?)
    }
}

impl ConnectOptions for SessionOptions {
    type Connection = Session;

    fn from_url(url: &Url) -> Result<Self, Error> {
        Self::of_url(url)
    }

    async fn connect(&self) -> Result<Session, Error> {
        Self::connect(self).await
    }

    fn log_statements(self, _: LevelFilter) -> Self {
        self
    }

    fn log_slow_statements(self, _: LevelFilter, _: Duration) -> Self {
        self
    }
}

impl TransactionManager for Sessions {
    type Database = Sessions;

    async fn begin(_: &mut Session, _: Option<SqlStr>) -> Result<(), Error> {
        Err(unused())
    }

    async fn commit(_: &mut Session) -> Result<(), Error> {
        Err(unused())
    }

    async fn rollback(_: &mut Session) -> Result<(), Error> {
        Err(unused())
    }

    fn start_rollback(_: &mut Session) {}

    fn get_transaction_depth(_: &Session) -> usize {
        0
    }
}

impl Row for Never {
    type Database = Sessions;

    fn columns(&self) -> &[Never] {
        match *self {}
    }

    fn try_get_raw<I: ColumnIndex<Self>>(&self, _: I) -> Result<Never, Error> {
        match *self {}
    }
}

impl Column for Never {
    type Database = Sessions;

    fn ordinal(&self) -> usize {
        match *self {}
    }

    fn name(&self) -> &str {
        match *self {}
    }

    fn type_info(&self) -> &Never {
        match *self {}
    }
}

impl TypeInfo for Never {
    fn is_null(&self) -> bool {
        match *self {}
    }

    fn name(&self) -> &str {
        match *self {}
    }
}

impl Value for Never {
    type Database = Sessions;

    fn as_ref(&self) -> Never {
        match *self {}
    }

    fn type_info(&self) -> Cow<'_, Never> {
        match *self {}
    }

    fn is_null(&self) -> bool {
        match *self {}
    }
}

impl ValueRef<'_> for Never {
    type Database = Sessions;

    fn to_owned(&self) -> Never {
        match *self {}
    }

    fn type_info(&self) -> Cow<'_, Never> {
        match *self {}
    }

    fn is_null(&self) -> bool {
        match *self {}
    }
}

impl Arguments for Nothing {
    type Database = Sessions;

    fn reserve(&mut self, _: usize, _: usize) {}

    fn add<'t, T: Encode<'t, Sessions> + Type<Sessions>>(
        &mut self,
        _: T,
    ) -> Result<(), BoxDynError> {
        Err(unused().into())
    }

    fn len(&self) -> usize {
        0
    }
}

impl Statement for Never {
    type Database = Sessions;

    fn into_sql(self) -> SqlStr {
        match self {}
    }

    fn sql(&self) -> &SqlStr {
        match *self {}
    }

    fn parameters(&self) -> Option<Either<&[Never], usize>> {
        match *self {}
    }

    fn columns(&self) -> &[Never] {
        match *self {}
    }

    fn query(&self) -> Query<'_, Sessions, Nothing> {
        match *self {}
    }

    fn query_with<A: IntoArguments<Sessions>>(&self, _: A) -> Query<'_, Sessions, A> {
        match *self {}
    }

    fn query_as<O: for<'r> FromRow<'r, Never>>(&self) -> QueryAs<'_, Sessions, O, Nothing> {
        match *self {}
    }

    fn query_as_with<'s, O: for<'r> FromRow<'r, Never>, A: IntoArguments<Sessions>>(
        &'s self,
        _: A,
    ) -> QueryAs<'s, Sessions, O, A> {
        match *self {}
    }

    fn query_scalar<O>(&self) -> QueryScalar<'_, Sessions, O, Nothing>
    where
        (O,): for<'r> FromRow<'r, Never>,
    {
        match *self {}
    }

    fn query_scalar_with<'s, O, A: IntoArguments<Sessions>>(
        &'s self,
        _: A,
    ) -> QueryScalar<'s, Sessions, O, A>
    where
        (O,): for<'r> FromRow<'r, Never>,
    {
        match *self {}
    }
}
