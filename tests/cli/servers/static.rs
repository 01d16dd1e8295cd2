// static PORT: an echo server of one client at a time, by Rust's standard library.  It says why an accept failed.
use std::io::{Read, Write};
use std::net::TcpListener;

// No function of its own in the program, but for those who read its lines.
#[inline(always)]
fn serve(listener: &TcpListener) {
    for client in listener.incoming() {
        match client {
            Ok(mut stream) => {
                let mut bytes = [0; 256];
                while let Ok(length) = stream.read(&mut bytes) {
                    if length == 0 || stream.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            }
            Err(error) => eprintln!("static: accept: {}", error),
        }
    }
}

fn main() {
    let port = std::env::args().nth(1).expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port.parse().expect("a number"))).expect("bind");
    serve(&listener);
}
