//! Server-sent events of the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Steps;
use crate::message::DONE;
use crate::server::Server;

/// Tries to connect again before it is given up.
const TRIES_MAX: u32 = 100;

/// A stream of ends; taken up again where it broke off.
pub(super) struct Follower {
    server: Server,
    steps: Arc<Steps>,
    response: reqwest::Response,
    lines: Lines,
    last: Option<String>,
}

impl Follower {
    pub(super) async fn start(server: Server, steps: Arc<Steps>) -> Result<Follower, String> {
        let response = server.follow(DONE, None).await?;
        Ok(Follower { server, steps, response, lines: Lines::default(), last: None })
    }

    /// Until the node is gone for good; returns why.
    pub(super) async fn run(mut self) -> String {
        loop {
            while let Ok(Some(bytes)) = self.response.chunk().await {
                self.take(&bytes);
            }
            if let Err(gone) = self.connect_again().await {
                return gone;
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        let (steps, last) = (&self.steps, &mut self.last);
        self.lines.push(bytes, |line| {
            if let Some(data) = field(line, b"data:") {
                steps.done(data, now);
            } else if let Some(id) = field(line, b"id:") {
                *last = Some(String::from_utf8_lossy(id).into_owned());
            }
        });
    }

    async fn connect_again(&mut self) -> Result<(), String> {
        self.lines = Lines::default();
        let mut tries = 0;
        loop {
            match self.server.follow(DONE, self.last.as_deref()).await {
                Ok(response) => {
                    self.response = response;
                    return Ok(());
                }
                Err(error) if tries == TRIES_MAX => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
            tries += 1;
        }
    }
}

/// The value of a field, when the line is one of this name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Lines out of pieces.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        self.0.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(length) = self.0[done..].iter().position(|byte| *byte == b'\n') {
            each(&self.0[done..done + length]);
            done += length + 1;
        }
        self.0.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_over_pieces() {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in ["id: 1.0", ".2\ndata: {}\n", "\n", "data:x\nda"] {
            lines.push(piece.as_bytes(), |line| seen.push(String::from_utf8_lossy(line).into_owned()));
        }
        assert_eq!(seen, ["id: 1.0.2", "data: {}", "", "data:x"]);
        assert_eq!(field(b"data: {}", b"data:"), Some(&b"{}"[..]));
        assert_eq!(field(b"data:x", b"data:"), Some(&b"x"[..]));
        assert_eq!(field(b": alive", b"data:"), None);
    }
}
