//! What either side counts. Every submission ends in one of them.

use std::fmt::Write as _;

/// A struct of numbers that can be printed line by line.
macro_rules! counts {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl $name {
            /// One line for each, `name number`.
            #[must_use]
            pub fn lines(&self) -> String {
                let mut text = String::new();
                $(writeln!(text, concat!(stringify!($field), " {}"), self.$field).ok();)*
                text
            }
        }
    };
}

counts! {
    /// Of one client in one process, since it was made or forked.
    ClientCounts {
        /// Taken from the caller. `accepted + refused + lost + waiting`.
        submitted,
        /// The server answers for it.
        accepted,
        /// Refused for good by the server.
        refused,
        /// Given up: at the close, or after it was sent too often to servers that went away over it.
        lost,
        /// Neither answered nor given up.
        waiting,
        /// Not taken from the caller, as there was no room: the caller knows.
        no_room,
        /// Not taken from the caller for any other reason: the caller knows.
        not_taken,
        /// Answers of the server that it had no room. Such a submission goes on waiting.
        no_room_answers,
        /// Sent again after a connection ended without an answer.
        resent,
        /// Accepted by a server that died before they had settled, and sent again. They are no longer among `accepted`.
        taken_back,
        /// Of `accepted`, those of which a copy is kept, as they have not settled; at the close, those of which one was.
        retained,
        /// Of `accepted`, those of which no copy was kept though they had not settled, for want of room for copies.
        unretained,
        /// Sent in parts, where memory files were refused.
        in_parts,
        /// Connections whose server proved itself and answered.
        connected,
        /// Connections that ended, or did not come about.
        disconnected,
        /// Whoever had the name was not the server: it did not know the secret, or is another user's.
        squatted,
        /// Times that this process had a server started, as nobody served; the lock decides whether it came to serve.
        promoted,
    }
}

counts! {
    /// Of one server.
    ServerCounts {
        /// Clients that proved themselves.
        clients,
        /// Connections of another user's process outside the tree, refused.
        denied_user,
        /// Clients that did not know the secret, refused.
        denied_secret,
        /// Clients of another version of the protocol, refused.
        denied_protocol,
        /// Connections that said what nobody says, closed.
        malformed,
        /// Connections closed as they did not finish a handshake or a payload, or did not read answers.
        timeouts,
        /// Connections of processes that are gone, closed to make room.
        evicted,
        /// Connections that could not be accepted for want of descriptors or memory.
        not_accepted,
        /// Submissions that came whole, or were refused or sent back before that. The sum of the next three.
        submitted,
        /// The service took it.
        accepted,
        /// Sent back.
        no_room,
        /// Refused for good; panics too.
        refused,
        /// Of `accepted`, those that were delivered since, or dropped for a reason that was counted.
        settled,
        /// Of `submitted`, those that may have come before.
        resent,
        /// The service panicked.
        panics,
        /// Of `accepted`, bytes of the payloads.
        accepted_bytes,
        /// Payloads that broke off with their connection. Their client has them.
        broken_off,
        /// Answers that could not be given before a connection ended. Their client asks again.
        answers_lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_line() {
        let counts = ClientCounts { accepted: 3, ..ClientCounts::default() };
        assert!(counts.lines().starts_with("submitted 0\naccepted 3\nrefused 0\n"));
        assert_eq!(ServerCounts::default().lines().lines().count(), 18);
    }
}
