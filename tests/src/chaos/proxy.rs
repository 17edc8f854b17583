//! The wire between one node and its database server: a TCP port on 127.0.0.1 that can be cut, go silent
//! and be mended.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Bytes pass.
    Whole,
    /// Connections are reset, new ones at once.
    Cut,
    /// Connections stay, and new ones are accepted, but no byte passes. What was sent meanwhile arrives
    /// when the wire is whole again, as it does after a real partition.
    Silent,
}

/// An answer that is lost once: from the moment on that the server sends these bytes on a connection,
/// `after` more of its messages pass, the next is dropped and the connection reset.
#[derive(Clone, Debug)]
pub struct Trap {
    /// What the server's answer holds.
    pub bytes: &'static [u8],
    /// How many messages pass before, the one with the bytes counted.
    pub after: u32,
}

/// A wire to a Unix socket. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    trap: Arc<Mutex<Option<Trap>>>,
    socket: Arc<Mutex<PathBuf>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A whole wire to the server behind this socket.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(socket: PathBuf) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let wire = Arc::new(watch::channel(Wire::Whole).0);
        let (trap, socket) = (Arc::default(), Arc::new(Mutex::new(socket)));
        let accepting =
            tokio::spawn(accept(listener, Arc::clone(&socket), Arc::clone(&wire), Arc::clone(&trap)));
        Proxy { address, wire, trap, socket, accepting }
    }

    /// Leads new connections to this server. Those that are there stay with theirs.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn lead_to(&self, socket: PathBuf) {
        *self.socket.lock().expect("no holder panics") = socket;
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets a trap, in place of one that was not sprung.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn set_trap(&self, trap: Trap) {
        *self.trap.lock().expect("no holder panics") = Some(trap);
    }

    /// Whether the trap was sprung.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    pub fn is_sprung(&self) -> bool {
        self.trap.lock().expect("no holder panics").is_none()
    }

    /// Makes the wire so.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.wire.send_replace(Wire::Cut);
    }
}

type Set = Arc<Mutex<Option<Trap>>>;

async fn accept(
    listener: TcpListener,
    socket: Arc<Mutex<PathBuf>>,
    wire: Arc<watch::Sender<Wire>>,
    trap: Set,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let socket = socket.lock().expect("no holder panics").clone();
        let (wire, trap) = (wire.subscribe(), Arc::clone(&trap));
        tokio::spawn(async move {
            // Its end, whichever side has caused it, is seen by the other.
            let _ = serve(client, socket, wire, trap).await;
        });
    }
}

async fn serve(
    client: TcpStream,
    socket: PathBuf,
    mut wire: watch::Receiver<Wire>,
    trap: Set,
) -> io::Result<()> {
    // Zero makes the close a reset, as that of a machine that knows nothing of the connection.
    client.set_zero_linger()?;
    client.set_nodelay(true)?;
    if wait_while_silent(&mut wire).await == Wire::Cut {
        return Ok(());
    }
    let server = UnixStream::connect(socket).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = wire.clone();
    tokio::select! {
        result = pass(from_client, to_server, wire.clone(), None) => result,
        result = pass(from_server, to_client, wire, Some(trap)) => result,
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => Ok(()),
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut wire: watch::Receiver<Wire>,
    trap: Option<Set>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = None;
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 || wait_while_silent(&mut wire).await == Wire::Cut {
            return Ok(());
        }
        if let Some(trap) = &trap
            && springs(trap, &buffer[..count], &mut left)
        {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Whether this message is the one to be lost; `left` is how many pass before, once the bytes were seen.
fn springs(trap: &Set, message: &[u8], left: &mut Option<u32>) -> bool {
    let mut trap = trap.lock().expect("no holder panics");
    let Some(Trap { bytes, after }) = &*trap else { return false };
    if left.is_none() && message.windows(bytes.len()).any(|part| part == *bytes) {
        *left = Some(*after);
    }
    match left {
        Some(0) => {
            *trap = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

async fn wait_while_silent(wire: &mut watch::Receiver<Wire>) -> Wire {
    // An error means that the proxy is gone.
    wire.wait_for(|wire| *wire != Wire::Silent).await.map_or(Wire::Cut, |wire| *wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_wire_is_whole_silent_or_cut() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("socket");
        let server = UnixListener::bind(&socket).expect("the folder can be written");
        let echo = tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let proxy = Proxy::to(socket).await;
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("it listens");
        let mut answer = [0; 1];
        client.write_all(b"a").await.expect("open");
        client.read_exact(&mut answer).await.expect("open");

        proxy.set(Wire::Silent);
        client.write_all(b"b").await.expect("open");
        let nothing = timeout(Duration::from_millis(50), client.read_exact(&mut answer)).await;
        assert!(nothing.is_err(), "a byte has passed");
        proxy.set(Wire::Whole);
        client.read_exact(&mut answer).await.expect("what was sent arrives");
        assert_eq!(&answer, b"b");

        proxy.set(Wire::Cut);
        client.read_exact(&mut answer).await.expect_err("reset");
        let mut second = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("it listens");
        second.read_exact(&mut answer).await.expect_err("reset");
        echo.abort();
    }
}
