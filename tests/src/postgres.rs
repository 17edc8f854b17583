//! A throwaway PostgreSQL server for the tests of one process: in a temporary folder, on a Unix
//! socket that only this machine can reach, gone when the last database handle is dropped.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A fresh, empty database; its server lives as long as any database does.
#[derive(Debug)]
pub struct Database {
    name: String,
    server: Arc<Server>,
}

#[derive(Debug)]
struct Server {
    programs: PathBuf,
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    /// None while it is stopped.
    process: Mutex<Option<Child>>,
    databases: AtomicUsize,
}

/// All tests of a process share one server: starting one takes a second.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// PostgreSQL's own port: without an address it only names the socket.
const PORT: u16 = 5432;

/// What a test's server does without: it need not survive anything.
const FAST: &[&str] = &[
    "-c",
    "fsync=off",
    "-c",
    "synchronous_commit=off",
    "-c",
    "full_page_writes=off",
    "-c",
    "max_connections=200",
];

/// Who may run a server: PostgreSQL refuses root, so root becomes `postgres`.
const UNPRIVILEGED: &str = "postgres";

/// Runs the server until standard input ends, which it does when the test process is gone, however it
/// went. SIGQUIT is PostgreSQL's immediate stop.
const GUARD: &str = r#""$@" & server=$!; read -r _; kill -QUIT $server; wait $server"#;

/// Makes a fresh database, starting the server if need be.
///
/// # Panics
/// When PostgreSQL is not installed or does not start.
pub fn database() -> Database {
    let server = shared_server();
    let name = format!("test_{}", server.databases.fetch_add(1, Ordering::Relaxed));
    let created = server.psql("postgres", &format!("create database {name}"));
    assert!(created.status.success(), "create database: {created:?}");
    Database { name, server }
}

/// A database on a server of its own with PostgreSQL's default settings, which sync every commit: for
/// measuring.
///
/// # Panics
/// When PostgreSQL is not installed or does not start.
pub fn durable_database() -> Database {
    let server = Arc::new(Server::start(&[], PORT));
    Database { name: "postgres".to_owned(), server }
}

/// A database on a server of its own, to be stopped and started: what was committed outlives every stop,
/// though not a power cut.
///
/// # Panics
/// When PostgreSQL is not installed or does not start.
pub fn private_database() -> Database {
    let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "max_connections=100"], PORT));
    Database { name: "postgres".to_owned(), server }
}

/// A database on a server of its own that takes TLS on a port of this machine, and the certificate, which
/// is for `localhost` and which nobody else vouches for.
///
/// # Panics
/// When PostgreSQL or openssl is not installed or does not start.
pub fn tls_database() -> (Database, PathBuf) {
    // Free a moment ago; nothing else here listens on ports that it did not ask the system for.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port").port();
    let settings = ["fsync=off", "listen_addresses=127.0.0.1", "ssl=on"];
    let settings: Vec<_> = settings.into_iter().flat_map(|setting| ["-c", setting]).collect();
    let server = Arc::new(Server::start(&settings, port));
    let certificate = server.data().join("server.crt");
    (Database { name: "postgres".to_owned(), server }, certificate)
}

/// How a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Connections are ended with a message, the files are left in order (`pg_ctl -m fast`).
    Fast,
    /// As in a crash (`pg_ctl -m immediate`).
    Immediate,
}

impl Database {
    /// The server's socket.
    pub fn socket(&self) -> PathBuf {
        self.server.folder.path().join(format!(".s.PGSQL.{}", self.server.port))
    }

    /// The connection URL by way of a port of this machine, behind which somebody passes the bytes on.
    pub fn url_by_port(&self, port: u16) -> String {
        format!("postgres://{UNPRIVILEGED}@127.0.0.1:{port}/{}", self.name)
    }

    /// The connection URL by way of the server's own port. Only for a [`tls_database`].
    pub fn url_by_own_port(&self) -> String {
        format!("postgres://{UNPRIVILEGED}@localhost:{}/{}", self.server.port, self.name)
    }

    /// Stops the server. Only for a [`private_database`].
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&self, stop: Stop) {
        self.server.stop(stop);
    }

    /// Starts the server again, and waits until it lets connections in.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(&self) {
        self.server.launch();
        self.server.await_ready();
    }

    /// A server of its own that follows this one, until it is promoted. Only for a [`private_database`].
    ///
    /// # Panics
    /// When it cannot be made or does not start.
    pub fn standby(&self) -> Database {
        Database { name: self.name.clone(), server: Arc::new(self.server.standby()) }
    }

    /// Makes a server that follows another one write, and waits until it does.
    ///
    /// # Panics
    /// When it does not.
    pub fn promote(&self) {
        assert_eq!(self.psql("select pg_promote()"), "t", "promoted in time");
    }

    /// Restarts the server as a standby, which only reads. Only for a [`private_database`].
    ///
    /// # Panics
    /// When it does not stop or start.
    pub fn demote(&self) {
        self.stop(Stop::Fast);
        let signal = self.server.data().join("standby.signal");
        fs::write(&signal, "").expect("its folder can be written");
        give_away(&signal);
        self.start();
    }

    /// The connection URL.
    pub fn url(&self) -> String {
        let socket = self.server.folder.path().display();
        format!("postgres://{UNPRIVILEGED}@localhost:{}/{}?host={socket}", self.server.port, self.name)
    }

    /// Another database on the server, with all that is in this one at the moment.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn copy(&self) -> Database {
        let name = format!("{}_copy", self.name);
        let tool = |program: &str| {
            let mut command = Command::new(self.server.programs.join(program));
            command.arg("-h").arg(self.server.folder.path());
            command.args(["-p", &self.server.port.to_string(), "-U", UNPRIVILEGED]);
            command
        };
        let dump =
            tool("pg_dump").args(["--format=custom", &self.name]).output().expect("pg_dump can be started");
        assert!(dump.status.success(), "pg_dump: {dump:?}");
        let created = self.server.psql("postgres", &format!("create database {name}"));
        assert!(created.status.success(), "create database: {created:?}");
        let file = self.server.folder.path().join(format!("{name}.dump"));
        fs::write(&file, dump.stdout).expect("the temporary folder can be written");
        let restored = tool("pg_restore").args(["--exit-on-error", "-d", &name]).arg(&file).output();
        let restored = restored.expect("pg_restore can be started");
        assert!(restored.status.success(), "pg_restore: {restored:?}");
        Database { name, server: Arc::clone(&self.server) }
    }

    /// The folder of the server's socket, and the database's name.
    pub(crate) fn place(&self) -> (&Path, &str) {
        (self.server.folder.path(), &self.name)
    }

    /// Runs SQL with `psql` and returns the bare rows.
    ///
    /// # Panics
    /// When the SQL fails.
    pub fn psql(&self, sql: &str) -> String {
        let output = self.server.psql(&self.name, sql);
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

fn shared_server() -> Arc<Server> {
    let mut shared = SHARED.lock().expect("no holder panics while the server is half made");
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start(FAST, PORT));
        *shared = Arc::downgrade(&server);
        server
    })
}

impl Server {
    fn start(settings: &[&str], port: u16) -> Server {
        let (programs, folder) = (programs(), folder());
        let data = folder.path().join("data");

        let initialised = unprivileged(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C", "--username"])
            .args([UNPRIVILEGED, "--pgdata"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .expect("initdb can be started");
        assert!(initialised.status.success(), "initdb: {initialised:?}");

        if settings.contains(&"ssl=on") {
            make_certificate(&data);
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Server::launched(programs, folder, settings, port)
    }

    fn launched(programs: PathBuf, folder: TempDir, settings: Vec<String>, port: u16) -> Server {
        let (process, databases) = (Mutex::default(), AtomicUsize::new(0));
        let server = Server { programs, folder, settings, port, process, databases };
        server.launch();
        server.await_ready();
        server
    }

    fn standby(&self) -> Server {
        let folder = folder();
        let copied = unprivileged(&self.programs.join("pg_basebackup"))
            .args(["--no-sync", "--checkpoint=fast", "--write-recovery-conf", "--username", UNPRIVILEGED])
            .args(["--port", &self.port.to_string(), "--host"])
            .arg(self.folder.path())
            .arg("--pgdata")
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .output()
            .expect("pg_basebackup can be started");
        assert!(copied.status.success(), "pg_basebackup: {copied:?}");
        Server::launched(self.programs.clone(), folder, self.settings.clone(), self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn launch(&self) {
        let process = unprivileged(Path::new("/bin/sh"))
            .args(["-c", GUARD, "guard"])
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=", "-p", &self.port.to_string()])
            .args(&self.settings)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log(self.folder.path()))
            .spawn()
            .expect("postgres can be started");
        *self.process() = Some(process);
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, stop: Stop) {
        if stop == Stop::Fast {
            let file = self.data().join("postmaster.pid");
            let text = fs::read_to_string(&file).expect("it runs");
            let pid = text.lines().next().and_then(|line| Pid::from_raw(line.parse().ok()?));
            kill_process(pid.expect("its first line is its id"), Signal::INT).expect("it is ours");
            let start = Instant::now();
            while file.exists() {
                assert!(start.elapsed() < Duration::from_secs(30), "postgres does not stop");
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.end();
    }

    /// At once, and waits, so that its folder is quiet.
    fn end(&self) {
        let Some(mut process) = self.process().take() else { return };
        if let Some(mut stdin) = process.stdin.take() {
            // The end of its input would do; the line makes it certain even if a fork holds a copy.
            let _ = stdin.write_all(b"stop\n");
        }
        let _ = process.wait();
    }

    fn await_ready(&self) {
        let start = Instant::now();
        while !self.psql("postgres", "select 1").status.success() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(60), "postgres does not start: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn psql(&self, database: &str, sql: &str) -> Output {
        Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "-h"])
            .arg(self.folder.path())
            .args([
                "-p",
                &self.port.to_string(),
                "-U",
                UNPRIVILEGED,
                "-d",
                database,
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                sql,
            ])
            .output()
            .expect("psql can be started")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where the server looks for it.
fn make_certificate(data: &Path) {
    let made = unprivileged(Path::new("openssl"))
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "server.key", "-out", "server.crt"])
        .current_dir(data)
        .output()
        .expect("openssl is installed: run `tests/run`, which installs it");
    assert!(made.status.success(), "openssl: {made:?}");
}

/// A server's own.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pg-").tempdir();
    let folder = folder.expect("the temporary folder can be written");
    give_away(folder.path());
    folder
}

fn log(folder: &Path) -> Stdio {
    let file = fs::OpenOptions::new().create(true).append(true).open(folder.join("log"));
    file.expect("the temporary folder can be written").into()
}

/// The folder of the server programs and `psql`: the newest that Debian installed, else the one on `PATH`.
///
/// # Panics
/// When PostgreSQL is not installed.
pub fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    folders.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let candidates =
        folders.into_iter().rev().map(|(_, folder)| folder).chain(std::env::split_paths(&on_path));
    candidates
        .into_iter()
        .find(|folder| folder.join("initdb").is_file())
        .expect("PostgreSQL is installed: run `tests/run`, which installs it")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs as somebody whom PostgreSQL accepts.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={UNPRIVILEGED}"))
        .arg(format!("--regid={UNPRIVILEGED}"))
        .arg("--clear-groups")
        .arg("--")
        .arg(program);
    command
}

/// Makes a file or folder belong to whoever [`unprivileged`] commands run as.
pub(crate) fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(user_id()), None).expect("root can give it away");
    }
}

fn user_id() -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("every machine lists its users");
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.first() == Some(&UNPRIVILEGED))
        .find_map(|fields| fields.get(2)?.parse().ok())
        .expect("PostgreSQL's package makes the user `postgres`: run `tests/run`")
}
