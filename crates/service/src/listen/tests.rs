//! Slow, silent and greedy clients on real sockets, with limits short enough to wait for.

use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers with `size` bytes once it has the request's body.
struct Server {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(limits: Limits, size: usize, thinking: Duration) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&answered);
    let service = service_fn(move |request: Request<Incoming>| {
        let count = Arc::clone(&count);
        async move {
            let _body = request.into_body().collect().await;
            sleep(thinking).await;
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; size]))))
        }
    });
    let task = tokio::spawn(serve(listener, limits, move |_| service.clone(), None, stop.clone()));
    Server { address, answered, stop, task }
}

fn short() -> Limits {
    let soon = Duration::from_millis(150);
    Limits { head: soon, idle: soon, stalled: soon, ..Limits::default() }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// All that comes until the server closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("it was never closed");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn who_never_ends_its_head_is_cut_off_however_often_it_sends_a_byte() {
    let limits = Limits { idle: PATIENCE * 10, ..short() };
    let server = start(limits, 1, Duration::ZERO).await;
    let (mut read, mut write) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        write.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while write.write_all(b"a").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut all = Vec::new();
    let _ = timeout(PATIENCE, read.read_to_end(&mut all)).await.expect("it was never closed");
    assert_eq!(server.answered.load(Ordering::SeqCst), 0);
    trickle.await.unwrap();
}

#[tokio::test]
async fn who_is_silent_is_cut_off_before_and_after_a_request() {
    let limits = Limits { head: PATIENCE * 10, ..short() };
    let server = start(limits, 1, Duration::ZERO).await;
    assert_eq!(rest(&mut server.connect().await).await, "");
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('x'), "{answer}");
}

#[tokio::test]
async fn who_waits_for_an_answer_or_sends_a_body_is_not_cut_off() {
    let server = start(short(), 1, Duration::from_millis(600)).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1").await.unwrap();
    sleep(Duration::from_millis(600)).await;
    stream.write_all(b"2").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_are_kept_between_requests() {
    let limits = Limits { idle: PATIENCE, ..Limits::default() };
    let server = start(limits, 1, Duration::ZERO).await;
    let mut stream = server.connect().await;
    for number in 1..=3 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nx") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert_eq!(server.answered.load(Ordering::SeqCst), number);
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let server = start(short(), 64 << 20, Duration::ZERO).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    while server.answered.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    server.stop.cancel();
    // The server ends, though its answer was never read.
    timeout(PATIENCE, server.task).await.expect("it waits for ever").unwrap();
    assert!(rest(&mut stream).await.len() < 64 << 20);
}

#[tokio::test]
async fn heads_are_bounded_in_size_and_number() {
    let server = start(Limits::default(), 1, Duration::ZERO).await;
    let heads = [
        format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(200_000)),
        format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101)),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "y".repeat(200_000)),
    ];
    for head in heads {
        let mut stream = server.connect().await;
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(server.answered.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_stop_waits_for_what_is_being_answered_and_for_nothing_else() {
    let server = start(Limits::default(), 1, Duration::from_millis(300)).await;
    let (mut at_work, _silent) = (server.connect().await, server.connect().await);
    at_work.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    server.stop.cancel();
    timeout(PATIENCE, server.task).await.expect("it waits for the silent one").unwrap();
    let answer = rest(&mut at_work).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(TcpStream::connect(server.address).await.is_err());
}

/// The thread that answers.
async fn asked(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let count = timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        answer.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((_, thread)) = text.split_once("\r\n\r\n").filter(|(_, body)| body.len() == 6) {
            return thread.to_owned();
        }
    }
}

#[tokio::test]
async fn connections_go_to_the_thread_that_has_the_fewest_and_stay_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|_: Request<Incoming>| async {
        // Others get their turn in between.
        tokio::task::yield_now().await;
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(name))))
    });
    let (stop, cores) = (CancellationToken::new(), Cores::start(2).unwrap());
    let stopped = stop.clone();
    let serving = tokio::spawn(async move {
        serve(listener, Limits::default(), move |_| service, Some(&cores), stopped).await;
    });
    let (mut connections, mut threads) = (Vec::new(), Vec::new());
    for _ in 0..6 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        threads.push(asked(&mut connection).await);
        connections.push(connection);
    }
    assert_eq!(threads, ["core-0", "core-1", "core-0", "core-1", "core-0", "core-1"]);
    for (connection, thread) in connections.iter_mut().zip(&threads) {
        assert_eq!(&asked(connection).await, thread);
    }
    // Those of one thread end: it has room for the next ones.
    let mut left = Vec::new();
    for (connection, thread) in connections.into_iter().zip(&threads) {
        match thread == "core-1" {
            true => left.push(connection),
            false => drop(connection),
        }
    }
    // The server's end of them is seen in a moment.
    let mut next = Vec::new();
    timeout(PATIENCE, async {
        loop {
            let mut connection = TcpStream::connect(address).await.unwrap();
            if asked(&mut connection).await == "core-0" {
                next.push(connection);
                break;
            }
        }
    })
    .await
    .unwrap();
    stop.cancel();
    drop((left, next));
    timeout(PATIENCE, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_still_runs_on_a_thread_ends_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|_: Request<Incoming>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let cores = Arc::new(Cores::start(1).unwrap());
    let (stop, serving) = (CancellationToken::new(), Arc::clone(&cores));
    let serving = tokio::spawn(async move {
        serve(listener, Limits::default(), move |_| service, Some(&serving), stop).await;
    });
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(20)).await;
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    drop(cores);
    assert_eq!(rest(&mut connection).await, "");
}

#[tokio::test]
async fn what_outlives_its_request_is_spread_over_the_threads() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|_: Request<Incoming>| async {
        let (tell, told) = tokio::sync::oneshot::channel();
        crate::cores::least_busy().spawn(async move {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            tell.send(name).unwrap();
            std::future::pending::<()>().await;
        });
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(told.await.unwrap()))))
    });
    let (stop, cores) = (CancellationToken::new(), Cores::start(2).unwrap());
    let serving = tokio::spawn(async move {
        serve(listener, Limits::default(), move |_| service, Some(&cores), stop).await;
    });
    let mut connection = TcpStream::connect(address).await.unwrap();
    let mut threads = Vec::new();
    for _ in 0..5 {
        threads.push(asked(&mut connection).await);
    }
    // The connection itself is one more task of the first one.
    assert_eq!(threads, ["core-1", "core-0", "core-1", "core-0", "core-1"]);
    serving.abort();
}
