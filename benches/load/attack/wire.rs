//! HTTP/1.1 with whoever answers, in whatever way.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// A connection from an address of this machine.
pub(super) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) text: String,
    /// Whether the connection stays open.
    pub(super) keeps: bool,
}

impl Wire {
    pub(super) async fn open(from: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind(SocketAddr::new(from.into(), 0))?;
        Ok(Self { stream: socket.connect(to).await?, received: Vec::new() })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next answer, whole.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        self.received.clear();
        let head = loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive().await?;
        };
        let text = String::from_utf8_lossy(&self.received[..head]).to_ascii_lowercase();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let length: usize = field("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.received.len() < head + length {
            self.receive().await?;
        }
        Ok(Answer {
            status: text.split(' ').nth(1).unwrap_or_default().to_owned(),
            keeps: field("connection:") != Some("close"),
            text: String::from_utf8_lossy(&self.received).into_owned(),
        })
    }

    async fn receive(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
