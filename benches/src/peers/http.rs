//! A client of HTTP/1.1 for load: one request after the other on each connection, no more than is needed for that, since what it
//! costs is taken from the server beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Failure;

/// A connection that is kept.
pub struct Connection {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
    /// The request, made anew each time.
    request: Vec<u8>,
}

/// What came back.
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub async fn open(address: SocketAddr) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream), address, request: Vec::new() })
    }

    /// Asks and waits for the answer. A body is JSON.
    ///
    /// # Errors
    /// The connection ends, or it is not HTTP/1.1 that comes back.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
        use std::io::Write as _;
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        self.stream.get_mut().write_all(&self.request).await?;
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or("no status line")?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line).await?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "transfer-encoding" => is_chunked = true,
                _ => {}
            }
        }
        let body = if is_chunked { self.chunks().await? } else { self.bytes(length).await? };
        Ok(Answer { status, body })
    }

    async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim(), 16)?;
            // Each chunk ends with an empty line, the last one too.
            let chunk = self.bytes(length + 2).await?;
            if length == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..length]);
        }
    }
}

/// Asks once.
///
/// # Errors
/// As of [`Connection`].
pub fn ask(runtime: &Handle, address: SocketAddr, method: &str, path: &str, body: &str) -> Result<Answer, Failure> {
    runtime.block_on(async { Connection::open(address).await?.ask(method, path, body).await })
}

/// Requests without a pause on many connections; they end when this is dropped.
pub struct Load {
    /// Answers that were right.
    done: Arc<AtomicU64>,
    /// Those that were not, and connections that ended.
    failed: Arc<AtomicU64>,
    _connections: JoinSet<()>,
}

impl Load {
    /// Posts the payloads in turn; a right answer is a success with a level in it.
    #[must_use]
    pub fn start(
        runtime: &Handle,
        address: SocketAddr,
        path: &str,
        payloads: &Arc<[String]>,
        connections: usize,
    ) -> Load {
        let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            let (path, payloads) = (path.to_owned(), payloads.clone());
            let (done, failed) = (done.clone(), failed.clone());
            let task = async move {
                if ask_on(address, &path, payloads.iter().cycle().skip(number * 7), &done, &failed).await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            };
            tasks.spawn_on(task, runtime);
        }
        Load { done, failed, _connections: tasks }
    }

    /// How many answers were right.
    ///
    /// # Errors
    /// Some were not.
    pub fn done(&self) -> Result<u64, Failure> {
        match self.failed.load(Ordering::Relaxed) {
            0 => Ok(self.done.load(Ordering::Relaxed)),
            failed => Err(format!("{failed} requests failed").into()),
        }
    }
}

/// One request after the other on one connection.
async fn ask_on(
    address: SocketAddr,
    path: &str,
    payloads: impl Iterator<Item = &String>,
    done: &AtomicU64,
    failed: &AtomicU64,
) -> Result<(), Failure> {
    let mut connection = Connection::open(address).await?;
    for payload in payloads {
        let answer = connection.ask("POST", path, payload).await?;
        let is_right = matches!(answer.status, 200 | 201) && contains(&answer.body, b"\"level\"");
        if is_right { done } else { failed }.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_forms_of_a_body_are_read_and_the_connection_goes_on() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = [0; 1_024];
            let answers = [
                "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nfirst",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nseco\r\n2\r\nnd\r\n0\r\n\r\n",
                "HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n",
            ];
            for answer in answers {
                assert!(stream.read(&mut buffer).await.expect("a request") > 0);
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        let mut connection = Connection::open(address).await.expect("connected");
        for (status, body) in [(201, "first"), (200, "second"), (500, "")] {
            let answer = connection.ask("POST", "/", "{}").await.expect("an answer");
            assert_eq!((answer.status, answer.body), (status, body.as_bytes().to_vec()));
        }
        server.await.expect("served");
    }
}
