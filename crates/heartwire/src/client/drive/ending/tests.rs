use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test]
async fn a_server_that_sends_as_fast_as_it_can_is_read_slowly_by_a_client_that_leaves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let stream = Stream::new(stream);
    let (mut server, _) = listener.accept().await.unwrap();
    let flood = tokio::spawn(async move { server.write_all(&vec![0; 4 * 1024 * 1024]).await });

    let began = Instant::now();
    discard(&stream, &mut Inbox::default()).await.unwrap();
    // 256 reads at least, and a pause after each fourth.
    assert!(began.elapsed() >= 64 * DISCARD_PAUSE, "all of it in {:?}", began.elapsed());
    flood.await.unwrap().unwrap();
}
