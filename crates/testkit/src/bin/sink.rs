//! `testkit-sink`: a bare HTTP server that reads bodies and throws them away. The limit of any agent.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lexopt::prelude::*;
use std::{convert::Infallible, process::ExitCode};
use tokio::{net::TcpListener, task::JoinSet};

const USAGE: &str = "testkit-sink [--port PORT]";

fn main() -> ExitCode {
    match parse().and_then(|port| port.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testkit-sink: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<u16>, Box<dyn std::error::Error>> {
    let mut port = 0;
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("port") => port = arguments.value()?.parse()?,
            Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(port))
}

#[tokio::main]
async fn run(port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?.port());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(async move {
                        let service = hyper::service::service_fn(discard);
                        let http = hyper::server::conn::http1::Builder::new();
                        // A connection that ends badly is the load generator's to report.
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    });
                }
            }
            Some(_) = connections.join_next() => {}
            _ = terminate.recv() => return Ok(()),
        }
    }
}

async fn discard(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}
