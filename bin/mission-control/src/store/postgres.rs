//! What is PostgreSQL's own: addresses, sessions with and without a pooler between, the checks at
//! start, migrations, and wake-ups of other instances.

pub(super) mod address;
pub(super) mod health;
mod migrate;
mod plan;
pub(super) mod rights;
pub(super) mod session;
mod start;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, SqlStr};

use self::address::Address;
use self::health::Health;
use self::plan::Plan;
use self::session::of_primary;
use self::start::Facts;
use super::migrations;
use super::open::{OpenError, said};

/// The fewest connections: one writes, one reads, one listens.
pub const MIN_CONNECTIONS: u32 = 3;

/// How many connections an instance has unless it is told otherwise.
pub const CONNECTIONS: u32 = 5;

/// How long a connection to a server that answers may take at start. A pooler whose pool is used up
/// lets clients wait.
const OPENED_IN: Duration = Duration::from_secs(5);

/// A PostgreSQL server and how it is used.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub address: Address,
    /// An address without a pooler between, for `LISTEN`.
    pub listen: Option<Address>,
    /// The schema of this program's tables; by the role's search path when absent.
    pub schema: Option<String>,
    /// How many connections to have in all.
    pub connections: u32,
}

impl Server {
    /// The server at an address, with defaults for all else.
    pub fn new(address: Address) -> Self {
        let schema = address.schema().map(str::to_owned);
        Self { address, listen: None, schema, connections: CONNECTIONS }
    }
}

/// An opened database.
#[derive(Debug)]
pub(super) struct Opened {
    pub writer: AnyPool,
    pub reader: AnyPool,
    /// What begins a write.
    pub begin: SqlStr,
    /// The schema of the tables.
    pub schema: String,
    /// Where to listen; `None` where a pooler is between and no other address is known.
    pub listen: Option<Address>,
    /// What is known of the server.
    pub health: Arc<Health>,
}

/// Checks the server, brings the tables up to date and opens all connections.
pub(super) async fn open(
    server: &Server,
    pool: fn(u32) -> AnyPoolOptions,
) -> Result<Opened, OpenError> {
    let address = &server.address;
    let facts = Facts::ask(address).await?;
    facts.check(true)?;
    let plan = plan(server, &facts).await?;
    let listen = listen_address(server, &plan).await?;
    if plan.is_pooled && listen.is_none() {
        tracing::info!(
            "the connection goes through a pooler; set MC_LISTEN_URL to the server's own address for events of other instances without delay"
        );
    }
    let mut migrator = AnyConnection::connect_with(&plan.migrator(address)?).await?;
    prepare(&mut migrator, &plan, &facts).await?;
    let _closed = migrator.close().await;
    let health = Arc::<Health>::default();
    let writer = noting(pool(1), &health);
    let writer = writer.connect_with(of_primary(plan.writer(address)?)).await?;
    // A pooler gives it a connection of the server now.
    sqlx::raw_sql("SELECT 1").execute(&writer).await?;
    let is_listening_here = listen.is_some() && server.listen.is_none();
    let readers = server.connections.saturating_sub(1 + u32::from(is_listening_here)).max(1);
    let reader = following(pool(readers), &health);
    let reader = reader.connect_lazy_with(of_primary(plan.reader(address)?));
    fill(&reader, readers, server, &plan).await?;
    Ok(Opened { writer, reader, begin: plan.begin_write(), schema: plan.schema, listen, health })
}

/// Connections that write: to which server they lead is noted.
fn noting(pool: AnyPoolOptions, health: &Arc<Health>) -> AnyPoolOptions {
    let health = Arc::clone(health);
    pool.after_connect(move |connection, _| {
        let health = Arc::clone(&health);
        Box::pin(async move {
            health.note_server(connection).await;
            Ok(())
        })
    })
}

/// Connections that read: none leads to the server from before writes went to another one.
fn following(pool: AnyPoolOptions, health: &Arc<Health>) -> AnyPoolOptions {
    let health = Arc::clone(health);
    pool.before_acquire(move |_, of| {
        let is_outdated = health.is_outdated(of.age);
        Box::pin(std::future::ready(Ok(!is_outdated)))
    })
}

/// Opens a database that is there already, for reading only; it may be a standby.
pub(super) async fn open_to_read(
    server: &Server,
    pool: fn(u32) -> AnyPoolOptions,
) -> Result<AnyPool, OpenError> {
    let facts = Facts::ask(&server.address).await?;
    facts.check(false)?;
    let plan = plan(server, &facts).await?;
    let reader = pool(1).connect_with(plan.reader(&server.address)?).await?;
    let mut connection = reader.acquire().await?;
    rights::schema(&mut connection, &plan.schema, &facts.role, false).await?;
    drop(connection);
    Ok(reader)
}

async fn plan(server: &Server, facts: &Facts) -> Result<Plan, OpenError> {
    let schema = match &server.schema {
        Some(schema) => schema.clone(),
        None => facts.own_schema()?,
    };
    let version = facts.version;
    let plan = Plan { schema, is_pooled: false, version, synchronous_commit: facts.commit() };
    Ok(Plan { is_pooled: start::is_pooled(&server.address, &plan).await?, ..plan })
}

/// Where to listen: what others send to a session that a pooler shares is lost, or comes to strangers.
async fn listen_address(server: &Server, plan: &Plan) -> Result<Option<Address>, OpenError> {
    let Some(listen) = &server.listen else {
        return Ok((!plan.is_pooled).then(|| server.address.clone()));
    };
    let is_pooled = start::is_pooled(listen, plan).await.map_err(|error| {
        OpenError::Refused(format!("MC_LISTEN_URL ({}): {error}", listen.place()))
    })?;
    match is_pooled {
        true => Err(OpenError::Refused(
            "MC_LISTEN_URL leads to a connection pooler; give the server's own address, or leave it out".to_owned(),
        )),
        false => Ok(Some(listen.clone())),
    }
}

/// Checks the role's rights and brings the tables up to date.
async fn prepare(writer: &mut AnyConnection, plan: &Plan, facts: &Facts) -> Result<(), OpenError> {
    let (schema, role) = (plan.schema.as_str(), facts.role.as_str());
    rights::schema(writer, schema, role, true).await?;
    let migrator = migrations::postgres();
    let pending = match migrate::pending(writer, &migrator).await {
        Ok(pending) => pending,
        Err(error) => {
            // What was done cannot be told without the right to read it.
            rights::to_tables(writer, schema, role).await?;
            return Err(error.into());
        }
    };
    if pending > 0 {
        rights::to_create(writer, schema, role).await?;
        let mut tx = writer.begin().await?;
        if let Err(error) = migrate::run(&mut tx, &migrator).await {
            let needs = match &error {
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                    rights::of_migration(error, schema, role)
                }
                _ => None,
            };
            return Err(needs.map_or_else(|| error.into(), OpenError::Refused));
        }
        tx.commit().await?;
    }
    rights::to_tables(writer, schema, role).await
}

/// Opens all of a pool's connections: one that cannot be had is missed now, and not under load.
async fn fill(pool: &AnyPool, size: u32, server: &Server, plan: &Plan) -> Result<(), OpenError> {
    let mut held: Vec<PoolConnection<Any>> = Vec::new();
    while held.len() < size as usize {
        // A pooler takes every client, and looks for a connection of the server when it is used.
        let opened = async {
            let mut connection = pool.acquire().await?;
            sqlx::raw_sql("SELECT 1").execute(&mut *connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(OPENED_IN, opened).await {
            Ok(Ok(connection)) => held.push(connection),
            Ok(Err(sqlx::Error::PoolTimedOut)) | Err(_) => {
                // The one that writes is the first.
                return Err(too_few(held.len() + 1, server, plan).await);
            }
            Ok(Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Why no further connection could be had. The pool tries again and again, and does not say.
async fn too_few(opened: usize, server: &Server, plan: &Plan) -> OpenError {
    let tried = async {
        let options = plan.reader(&server.address)?;
        let mut connection = AnyConnection::connect_with(&options).await?;
        sqlx::raw_sql("SELECT 1").execute(&mut connection).await?;
        connection.close().await
    };
    let why = match tokio::time::timeout(OPENED_IN, tried).await {
        Ok(Err(error)) => said(&error),
        Ok(Ok(())) | Err(_) => "no answer in time, as of a pooler whose pool is used up".to_owned(),
    };
    let wanted = server.connections;
    OpenError::Refused(format!(
        "MC_DB_CONNECTIONS is {wanted}, and only {opened} could be opened ({why}); lower it (at least {MIN_CONNECTIONS}), \
         or raise the pooler's pool size, the server's max_connections or the role's CONNECTION LIMIT"
    ))
}
