//! Servers that want something else than to give the file: none gets anywhere, and each is refused in bounded time and space.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a server goes on.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that begins every answer with `head` and goes on with `piece` again and again, a pause between, until the client hangs up
/// or a minute is over. Counts the bytes that it could send.
struct Endless {
    url: String,
    sent: Arc<AtomicU64>,
}

impl Endless {
    fn new(head: &'static str, piece: Vec<u8>, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}/x.gz", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let count = sent.clone();
        std::thread::spawn(move || {
            while let Some(mut stream) = accept(&listener) {
                read_range(&mut stream);
                let end = Instant::now() + PATIENCE;
                let mut going = stream.write_all(head.as_bytes()).is_ok();
                while going && Instant::now() < end {
                    going = stream.write_all(&piece).is_ok();
                    count.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    std::thread::sleep(pause);
                }
            }
        });
        Self { url, sent }
    }
}

/// A redirect to this address.
fn redirect(location: String) -> Answer {
    Box::new(move |_| answer(&format!("302 Found\r\nLocation: {location}\r\nContent-Length: 0"), b""))
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn a_body_without_end_is_cut_at_the_length_that_was_published() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let piece = [b"8000\r\n".as_slice(), &vec![7; 0x8000], b"\r\n"].concat();
        let server = Endless::new(head, piece, Duration::ZERO);
        let case = Case::new(Some(500_000));
        let message = message(case.get(&server.url));
        assert!(message.contains("the published file has at most 500000"), "{message}");
        assert!(case.names().is_empty(), "{:?}", case.names());
        // What the server could send beyond that lies in the buffers of the connection.
        assert!(server.sent.load(Ordering::Relaxed) < 64 << 20);
    }
}

#[test]
fn headers_without_end_are_an_error() {
    let piece = b"X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(100);
    let server = Endless::new("HTTP/1.1 200 OK\r\n", piece, Duration::ZERO);
    let case = Case::new(None);
    assert!(matches!(case.get(&server.url), Err(DataError::Fetch { .. })));
    assert_eq!(length(&case.folder.path().join("x.gz")), 0);
    assert!(server.sent.load(Ordering::Relaxed) < 64 << 20);
}

#[test]
fn a_body_that_drips_for_ever_is_given_up_and_what_came_is_kept() {
    let server = Endless::new("HTTP/1.1 200 OK\r\n\r\n", vec![7], Duration::from_millis(20));
    let (case, began) = (Case::new(None), Instant::now());
    let message = message(case.get(&server.url));
    assert!(message.contains("the partial download is kept"), "{message}");
    assert_eq!(case.names(), ["x.gz.part"]);
    // Three answers of half a second each; the rest is patience with a slow machine.
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_redirect_to_a_file_or_another_scheme_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, published()).unwrap();
    let file = format!("file://{}", secret.display());
    for location in [file.as_str(), "ftp://127.0.0.1/x.gz", "gopher://127.0.0.1/x", "data:,x", "javascript:x"]
    {
        let case = Case::new(None);
        let (result, _) = case.run((0..3).map(|_| redirect(location.to_owned())).collect());
        let message = message(result);
        assert!(message.contains("http://127.0.0.1"), "{message}");
        assert!(!case.folder.path().join("x.gz").exists(), "{location}");
        assert_eq!(length(&case.folder.path().join("x.gz.part")), 0, "{location}");
    }
}

#[test]
fn a_redirect_is_followed_and_one_that_leads_back_to_itself_is_an_error() {
    let goal = Server::new(vec![honest()]);
    let case = Case::new(None);
    let (result, _) = case.run(vec![redirect(goal.url.clone())]);
    case.assert_whole(result);
    let case = Case::new(None);
    let (result, asked) = case.run((0..40).map(|_| redirect("/x.gz".to_owned())).collect());
    let message = message(result);
    assert!(message.contains("redirect"), "{message}");
    assert!(asked.len() < 20, "{}", asked.len());
    assert!(!case.folder.path().join("x.gz").exists());
}

#[test]
fn what_begins_encrypted_stays_so() {
    let options = RequestOptions::default();
    assert!(agent("https://example.org/x.gz", &options).config().https_only());
    assert!(!agent("http://127.0.0.1/x.gz", &options).config().https_only());
}
