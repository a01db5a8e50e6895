//! Just enough HTTP/1.1 over blocking sockets for both sides of a measurement. A thread that waits in the
//! kernel costs the measured process nothing, and there is no runtime whose own work would be timed.

use std::io::{self, BufRead, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest line of a head; a longer one is a bug on one of the two sides.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// Largest body: one page of a scan is a megabyte of items, as JSON.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// For how long an answer is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The request line or the status line.
    pub start: String,
    /// Header lines in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The first header `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Path and query of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The status of a response; 0 if there is none.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    /// A response.
    pub fn answer(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            start: format!("HTTP/1.1 {status} X"),
            headers: vec![("content-type".to_owned(), media_type.to_owned())],
            body: body.into(),
        }
    }

    /// A response with JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::answer(200, "application/json", value.to_string())
    }

    /// Reads one; `None` if the other side has closed the connection between two.
    ///
    /// # Errors
    /// What the system said, or `InvalidData` for what is no HTTP.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(start) = line(from)? else { return Ok(None) };
        let mut message = Self { start, ..Self::default() };
        loop {
            let header = line(from)?.ok_or_else(|| wrong("the head broke off"))?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').ok_or_else(|| wrong("a header without a colon"))?;
            message.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        if message.header("transfer-encoding").is_some() {
            loop {
                let size = line(from)?.ok_or_else(|| wrong("the body broke off"))?;
                let size = usize::from_str_radix(size.trim(), 16).map_err(|_| wrong("a chunk's size"))?;
                let end = message.body.len();
                message.body.extend(body(from, size)?);
                line(from)?;
                if end > BODY_BYTES_MAX {
                    return Err(wrong("the body is too long"));
                }
                if size == 0 {
                    return Ok(Some(message));
                }
            }
        }
        let length = message.header("content-length").map_or(Ok(0), str::parse);
        message.body = body(from, length.map_err(|_| wrong("content-length"))?)?;
        Ok(Some(message))
    }

    /// Writes it at once, so that it leaves in as few packets as it can.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(512 + self.body.len());
        bytes.extend_from_slice(self.start.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            // The body was read whole, whatever it came in.
            if !matches!(name.as_str(), "content-length" | "transfer-encoding") {
                bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes)
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    from.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(whole) => Ok(Some(whole.strip_suffix('\r').unwrap_or(whole).to_owned())),
        None if line.is_empty() => Ok(None),
        None => Err(wrong("a line broke off")),
    }
}

fn body(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_BYTES_MAX {
        return Err(wrong("the body is too long"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// A connection that is kept for one request after another.
#[derive(Debug)]
pub struct Connection {
    addr: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        Ok(Self { addr, stream: BufReader::new(stream) })
    }

    /// Sends a request and waits for the answer: the answer, and how long it took to come.
    ///
    /// # Errors
    /// What the system said.
    pub fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> io::Result<(Message, Duration)> {
        let mut request = Message {
            start: format!("{method} {target} HTTP/1.1"),
            headers: headers.to_vec(),
            body: body.to_vec(),
        };
        if request.header("host").is_none() {
            request.headers.push(("host".to_owned(), self.addr.to_string()));
        }
        self.exchange(&request)
    }

    /// As [`Self::send`], of a request that is one already.
    ///
    /// # Errors
    /// What the system said.
    pub fn exchange(&mut self, request: &Message) -> io::Result<(Message, Duration)> {
        let began = Instant::now();
        request.write(self.stream.get_mut())?;
        let answer = Message::read(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((answer, began.elapsed()))
    }
}

/// Serves on any free port of loopback, each connection in a thread of its own, until this program ends.
/// `handler` makes what answers one connection.
///
/// # Errors
/// What the system said.
pub fn serve<H, A>(handler: H) -> io::Result<SocketAddr>
where
    H: Fn() -> A + Send + 'static,
    A: FnMut(Message) -> Message + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = handler();
            thread::spawn(move || serve_one(stream, answer));
        }
    });
    Ok(addr)
}

/// As [`serve`], with one handler for all connections.
///
/// # Errors
/// What the system said.
pub fn serve_all(answer: impl Fn(Message) -> Message + Send + Sync + 'static) -> io::Result<SocketAddr> {
    let answer = Arc::new(answer);
    serve(move || {
        let answer = Arc::clone(&answer);
        move |request| answer(request)
    })
}

/// Whatever goes wrong on a connection ends it; the other side notices.
fn serve_one(stream: TcpStream, mut answer: impl FnMut(Message) -> Message) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut stream = BufReader::new(stream);
    while let Ok(Some(request)) = Message::read(&mut stream) {
        if answer(request).write(stream.get_mut()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_comes_whole_by_length_and_in_chunks() {
        let read = |text: &str| Message::read(&mut text.as_bytes());
        let message = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap().unwrap();
        assert_eq!((message.status(), message.body.as_slice()), (200, b"abc".as_slice()));
        let chunks = "POST /a?b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let message = read(chunks).unwrap().unwrap();
        assert_eq!(message.target(), "/a?b");
        assert_eq!(message.body, b"abc");
        assert_eq!(read("").unwrap(), None);
        read("GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").unwrap_err();
    }

    #[test]
    fn one_connection_carries_many_requests() {
        let addr = serve_all(|request| Message::answer(200, "text/plain", request.body)).unwrap();
        let mut connection = Connection::open(addr).unwrap();
        for text in ["one", "", "three"] {
            let (answer, _) = connection.send("POST", "/", &[], text.as_bytes()).unwrap();
            assert_eq!(answer.body, text.as_bytes());
        }
    }
}
