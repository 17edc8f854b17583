//! A pooler in front of a throwaway server: pgbouncer, which hands out server connections per transaction.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::{Database, give_away, unprivileged};

/// Runs the pooler until standard input ends, as the server's own guard. SIGTERM is its immediate stop.
const GUARD: &str = r#""$@" & pooler=$!; read -r _; kill -TERM $pooler; wait $pooler"#;

/// A running pooler; it ends with this.
#[derive(Debug)]
pub struct Pooler {
    folder: TempDir,
    process: Child,
    database: String,
}

/// Starts a pooler that has this many connections to the database's server.
///
/// # Panics
/// When pgbouncer is not installed or does not start.
pub fn pooler(database: &Database, server_connections: u32) -> Pooler {
    let folder =
        tempfile::Builder::new().prefix("pgb-").tempdir().expect("the temporary folder can be written");
    let (socket, name) = database.place();
    let settings = format!(
        "[databases]\n{name} = host={} user=postgres\n[pgbouncer]\npool_mode = transaction\n\
         default_pool_size = {server_connections}\nauth_type = any\nunix_socket_dir = {}\nlisten_port = 6432\n",
        socket.display(),
        folder.path().display(),
    );
    fs::write(folder.path().join("pgbouncer.ini"), settings).expect("a file");
    // Whoever runs it may not be allowed to look into the workspace.
    let program = folder.path().join("pgbouncer");
    for file in
        fs::read_dir(installed()).expect("it is installed").flatten().filter(|file| is_ours(&file.path()))
    {
        fs::copy(file.path(), folder.path().join(file.file_name())).expect("a copy");
    }
    give_away(folder.path());
    let log = fs::File::create(folder.path().join("log")).expect("a file");
    let process = unprivileged(Path::new("/bin/sh"))
        .args(["-c", GUARD, "guard"])
        .arg(program)
        .arg(folder.path().join("pgbouncer.ini"))
        .env("LD_LIBRARY_PATH", folder.path())
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("pgbouncer can be started");
    let pooler = Pooler { database: name.to_owned(), process, folder };
    let start = Instant::now();
    // Its socket is there before anybody listens to it.
    while UnixStream::connect(pooler.folder.path().join(".s.PGSQL.6432")).is_err() {
        let log = fs::read_to_string(pooler.folder.path().join("log")).unwrap_or_default();
        assert!(start.elapsed() < Duration::from_secs(30), "pgbouncer does not start: {log}");
        thread::sleep(Duration::from_millis(10));
    }
    pooler
}

impl Pooler {
    /// The connection URL.
    pub fn url(&self) -> String {
        let socket = self.folder.path().display();
        format!("postgres://postgres@localhost:6432/{}?host={socket}", self.database)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The program and the libraries that `tests/run` puts beside it.
fn is_ours(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name == "pgbouncer" || name.contains(".so")
}

/// Its folder: on the machine, else under `target/tools`.
fn installed() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a folder of it");
    std::env::split_paths(&on_path)
        .chain([workspace.join("target/tools/pgbouncer")])
        .find(|folder| folder.join("pgbouncer").is_file())
        .expect("pgbouncer is installed: run `tests/run`, which installs it")
}
