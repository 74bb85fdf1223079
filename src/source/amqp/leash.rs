//! What ends a connection attempt that was given up.
//!
//! lapin makes each connection on a thread of its own, and that thread stays with its socket until the peer speaks or hangs
//! up; dropping the attempt does not end it. A peer that accepts and never speaks would keep one thread and one socket
//! for each try, for ever. So a second handle of the socket is kept while the attempt lasts, and shuts it down if the
//! attempt is dropped: the thread reads an end, and ends.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
enum State {
    #[default]
    Unconnected,
    Connected(TcpStream),
    GivenUp,
}

/// Held by whoever waits for the connection; dropped, it ends the attempt.
#[derive(Default)]
pub(super) struct Leash(Arc<Mutex<State>>);

/// Where the attempt says which socket it has.
#[derive(Clone)]
pub(super) struct Collar(Arc<Mutex<State>>);

impl Leash {
    pub(super) fn collar(&self) -> Collar {
        Collar(Arc::clone(&self.0))
    }

    /// The connection is made: its socket is left alone.
    pub(super) fn release(self) {
        replace(&self.0, State::Unconnected);
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if let State::Connected(socket) = replace(&self.0, State::GivenUp) {
            // One that the peer has closed already needs no more.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Collar {
    /// The attempt has a socket.
    ///
    /// # Errors
    /// The attempt was given up meanwhile; or there are no more file descriptors.
    pub(super) fn connected(&self, socket: &impl AsFd) -> io::Result<()> {
        let socket = TcpStream::from(socket.as_fd().try_clone_to_owned()?);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::GivenUp) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the attempt was given up"));
        }
        *state = State::Connected(socket);
        Ok(())
    }
}

fn replace(state: &Mutex<State>, new: State) -> State {
    std::mem::replace(&mut *state.lock().unwrap_or_else(PoisonError::into_inner), new)
}
