use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use heartwire_testkit::PATIENCE;

use super::*;

/// A server that answers the requests of each of its connections as told, and then closes it.
/// Joined, it says what it was asked.
struct Stub {
    endpoint: Endpoint,
    thread: thread::JoinHandle<Vec<String>>,
}

impl Stub {
    fn start(connections: &'static [&'static [&'static str]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let thread = thread::spawn(move || {
            let mut asked = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in *answers {
                    asked.push(read_request(&mut stream));
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            asked
        });
        Self { endpoint, thread }
    }

    fn client(&self, token: Option<&str>) -> HttpClient {
        HttpClient::new(self.endpoint.clone(), token.map(str::to_owned), PATIENCE)
    }

    fn asked(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut reader = BufReader::with_capacity(1, stream);
    while !request.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut request).unwrap(), 0, "{request}");
    }
    request
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n17";

#[tokio::test]
async fn requests_share_a_connection_and_carry_the_token() {
    let stub = Stub::start(&[&[OK, OK]]);
    let mut client = stub.client(Some("s3cret"));
    assert_eq!(client.json::<u32>("/v1/stats").await, Ok(17));
    let answer = client.request(Method::DELETE, "/v1/sessions/0-1-2").await.unwrap();
    assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::OK, &b"17"[..]));
    let host = stub.endpoint.host().to_owned();
    let [first, second] = stub.asked().try_into().unwrap();
    assert!(first.starts_with("GET /v1/stats HTTP/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("host: {host}\r\n")), "{first}");
    assert!(first.contains("authorization: Bearer s3cret\r\n"), "{first}");
    assert!(second.starts_with("DELETE /v1/sessions/0-1-2 HTTP/1.1\r\n"), "{second}");
}

#[tokio::test]
async fn get_is_sent_again_when_the_kept_connection_ends_and_a_command_is_not() {
    // An empty answer is the end of the connection, as an idle one ends while a request is sent.
    let stub = Stub::start(&[&[OK, ""], &[OK, ""], &[OK]]);
    let mut client = stub.client(None);
    assert_eq!(client.json::<u32>("/a").await, Ok(17));
    assert_eq!(client.json::<u32>("/b").await, Ok(17));
    let error = client.request(Method::DELETE, "/c").await.unwrap_err().to_string();
    assert!(error.contains("ended without an answer"), "{error}");
    assert_eq!(client.json::<u32>("/d").await, Ok(17));
    let asked = stub.asked();
    let lines: Vec<_> = asked.iter().map(|asked| asked.lines().next().unwrap()).collect();
    let paths = ["GET /a", "GET /b", "GET /b", "DELETE /c", "GET /d"];
    assert_eq!(lines, paths.map(|path| format!("{path} HTTP/1.1")));
    assert!(!asked[1].contains("authorization"), "{asked:?}");
}

#[tokio::test]
async fn refusals_have_the_servers_words() {
    let stub = Stub::start(&[&[
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 49\r\n\r\n\
         {\"error\":\"no_token\",\"message\":\"say \\u001bplease\"}",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>",
    ]]);
    let mut client = stub.client(None);
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(client.json::<u32>("/v1/stats").await.unwrap_err().to_string());
    }
    let url = stub.endpoint.to_string();
    assert_eq!(errors[0], format!(r"{url} refused (403): say \u{{1b}}please"));
    assert!(errors[1].starts_with(&format!("{url} answered 404 Not Found, and not as")));
    assert!(errors[2].contains("is not that of `heartwire serve --http` (expected value"));
}

#[tokio::test]
async fn answer_beyond_the_limit_is_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        // Until the client has had enough, and closes.
        (0..1024).take_while(|_| stream.write_all(&chunk).is_ok()).count()
    });
    let mut client = HttpClient::new(endpoint, None, PATIENCE);
    let error = client.json::<u32>("/v1/stats").await.unwrap_err().to_string();
    assert!(error.contains("answered /v1/stats with more than 8 MiB"), "{error}");
    assert!(thread.join().unwrap() < 1024, "it was all read");
}

#[tokio::test]
async fn server_that_never_ends_its_interim_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        let interim = format!("HTTP/1.1 100 Continue\r\nx: {}\r\n\r\n", "x".repeat(4_000));
        let interim = interim.repeat(32);
        // Until the client has had enough, and closes.
        (0..1024).take_while(|_| stream.write_all(interim.as_bytes()).is_ok()).count()
    });
    let mut client = HttpClient::new(endpoint, None, Duration::from_millis(50));
    let error = client.json::<u32>("/v1/stats").await.unwrap_err().to_string();
    assert!(error.contains("did not answer within 50ms"), "{error}");
    drop(client);
    assert!(thread.join().unwrap() < 200, "much was read");
}

#[tokio::test]
async fn server_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint: Endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
    let mut client = HttpClient::new(endpoint, None, Duration::from_millis(50));
    let error = client.json::<u32>("/v1/stats").await.unwrap_err().to_string();
    assert!(error.contains("did not answer within 50ms"), "{error}");
    // The connection is closed with it, so that a late answer is not taken for that of the next.
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sent = String::new();
    // Some systems reset it.
    let _ = stream.read_to_string(&mut sent);
    assert!(sent.starts_with("GET /v1/stats "), "{sent}");
}

#[tokio::test]
async fn another_program_and_none_at_all_are_told_apart() {
    let stub = Stub::start(&[&["\0\0\0\0\0\0\0\0"]]);
    let error = stub.client(None).json::<u32>("/").await.unwrap_err().to_string();
    assert!(error.contains("does not speak HTTP"), "{error}");
    let endpoint = stub.endpoint.clone();
    stub.asked();
    let error = HttpClient::new(endpoint, None, PATIENCE).json::<u32>("/").await.unwrap_err();
    assert!(error.to_string().contains("Nothing listens there: start"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_are_reached_by_their_path() {
    use std::os::unix::net::UnixListener;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let endpoint: Endpoint = format!("unix:{}", path.display()).parse().unwrap();
    let mut client = HttpClient::new(endpoint, None, PATIENCE);
    let error = client.json::<u32>("/").await.unwrap_err().to_string();
    assert!(error.contains("http.sock: No such file") && error.contains("start"), "{error}");

    let listener = UnixListener::bind(&path).unwrap();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 256];
        let len = stream.read(&mut request).unwrap();
        stream.write_all(OK.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    assert_eq!(client.json::<u32>("/").await, Ok(17));
    let request = thread.join().unwrap();
    assert!(request.contains("host: localhost\r\n"), "{request}");
}

#[test]
fn endpoints_are_urls_with_our_port_unless_they_have_another() {
    let endpoint = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
    for (text, url) in [
        (DEFAULT_URL, DEFAULT_URL),
        ("http://10.0.0.5:80/", "http://10.0.0.5:80"),
        ("http://gate.example", "http://gate.example:39080"),
        ("gate.example:81", "http://gate.example:81"),
        ("[::1]", "http://[::1]:39080"),
        ("[::1]:7", "http://[::1]:7"),
    ] {
        assert_eq!(endpoint(text).as_deref(), Ok(url));
    }
    for (text, why) in [
        ("https://gate.example", "speaks no TLS"),
        ("http://gate.example/v1", "no path"),
        ("http://a b", "HOST:PORT"),
        ("http://user@gate.example", "HOST:PORT"),
        ("", "HOST:PORT"),
        ("http://:7", "HOST:PORT"),
        ("gate.example:", "HOST:PORT"),
        ("gate.example:0", "a port from 1"),
        ("gate.example:70000", "a port from 1"),
    ] {
        let error = endpoint(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn names_in_a_url_are_encoded() {
    assert_eq!(percent_encoded("hall/door 3&x=é"), "hall%2Fdoor%203%26x%3D%C3%A9");
}
