use super::*;
use crate::shared::message::Act;
use crate::thread::Thread;
use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

pub(crate) fn config() -> Config {
    serde_json::from_value(serde_json::json!({
        "threads": 1,
        "listen": [{ "kind": "tcp", "host": "127.0.0.1", "port": 0 }],
        "mounts": [],
        "pools": [{ "queue": 1, "queueTimeoutMs": 1000, "requestTimeoutMs": 0 }],
        "limits": { "requestLine": 8192, "headerBytes": 8192, "headerCount": 10, "body": 0, "bodyInMemory": 65536, "minRate": 240 },
        "timeouts": { "headerMs": 1000, "bodyMs": 1000, "keepAliveMs": 1000, "writeMs": 1000 },
        "serverHeader": null,
        "accessLog": { "format": "off", "color": false },
        "errorLog": {},
        "tempDir": "/tmp",
        "multiprocess": false,
    }))
    .unwrap()
}

/// Runs `act` on an I/O thread that does nothing else.
pub(crate) fn on_thread(act: impl FnOnce(&mut Thread) + Send + 'static) {
    let (events, received) = mpsc::channel();
    let server =
        Server::start(&config(), &GivenTls::default(), move |event| events.send(event).unwrap())
            .unwrap();
    let (done, is_done) = mpsc::channel();
    let act = Box::new(move |thread: &mut dyn Any| {
        act(thread.downcast_mut().expect("a thread acts"));
        done.send(()).unwrap();
    });
    server.shared.mailboxes[0].post(Message::Test(Act(act)));
    is_done.recv().expect("what is done on the thread does not panic");
    server.close(Duration::ZERO);
    assert_eq!(received.recv().unwrap(), Event::Closed);
}

fn panic() -> Message {
    Message::Test(Act(Box::new(|_| panic!("by the test"))))
}

#[test]
fn a_panic_costs_its_connections_and_nothing_else() {
    let config = config();
    let (events, received) = mpsc::channel();
    let server =
        Server::start(&config, &GivenTls::default(), move |event| events.send(event).unwrap())
            .unwrap();
    let worker = server.add_worker(0).unwrap();
    let (Address::Tcp(address), false) = server.addresses()[0].clone() else { unreachable!() };
    let ask = || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask().starts_with("HTTP/1.1 404 "));
    let mut lost = TcpStream::connect(address).unwrap();
    server.shared.mailboxes[0].post(panic());
    let gone = received.recv().unwrap();
    assert!(matches!(gone, Event::WorkerGone { worker: id, .. } if id == worker.id));
    assert_eq!(lost.read(&mut [0; 1]).unwrap_or_default(), 0);
    assert!(ask().starts_with("HTTP/1.1 404 "));
    server.close(Duration::ZERO);
    assert_eq!(received.recv().unwrap(), Event::Closed);
}

#[test]
fn what_is_in_the_mailbox_behind_a_panic_is_heard_by_the_next_life() {
    let config = config();
    let (events, received) = mpsc::channel();
    let server =
        Server::start(&config, &GivenTls::default(), move |event| events.send(event).unwrap())
            .unwrap();
    // While the thread works on these, the others join them in its mailbox.
    let mailbox = &server.shared.mailboxes[0];
    for _ in 0..100 {
        mailbox.post(panic());
        mailbox.post(Message::CloseConnections { idle_only: true });
    }
    server.prepare(&config, &GivenTls::default()).unwrap();
    server.commit();
    assert_eq!(received.recv().unwrap(), Event::Renewed);
    server.close(Duration::ZERO);
    assert_eq!(received.recv().unwrap(), Event::Closed);
}
