//! What is done when: one table of (state, event), without a clock, a process or a signal in it.

use crate::Notice;
use crate::exit_code::Status;
use crate::signals::{Sender, Set, Signal};

/// What asks this process to end once the child has.
const ASKS_US: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// What does not change while the child runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// The signals that ask to end: told to the agent, and the start of the grace.
    pub(crate) term: Set,
    /// The child stands in our own process group, so what the kernel sends us it has sent the child too.
    pub(crate) shared_group: bool,
    /// A shell with job control waits for us: it expects that we stop when the child does.
    pub(crate) shell_looks: bool,
    /// There is a terminal and no shell that could continue what Ctrl-Z stops.
    pub(crate) nobody_continues: bool,
}

/// The child, and what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct State {
    pub(crate) child: Child,
    pub(crate) asked: Asked,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Child {
    Running,
    Stopped,
    Ended(Status),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    Nothing,
    ToEnd,
    /// The grace is over and SIGKILL is sent. Once is enough: nothing can hold it off.
    Killed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    /// A signal arrived here.
    Signal { signal: Signal, from: Sender },
    /// The child was stopped. `in_front`: for using the terminal out of the background, although the terminal is
    /// its own by now, or ours to give.
    Stopped { signal: Signal, in_front: bool },
    /// The child goes on.
    Continued,
    /// The child ended.
    Ended(Status),
    /// The time between the first request to end and SIGKILL is over.
    GraceOver,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// Send a signal to the child's group.
    Forward(Signal),
    /// Kill the child's group.
    Kill,
    /// Begin the time until [`Event::GraceOver`], where there is to be one.
    StartGrace,
    /// Make the child's group the terminal's, if ours is.
    HandOver,
    /// Make our group the terminal's, if the child's is.
    TakeBack,
    /// Stop this process until somebody continues it.
    StopOurselves,
    /// Tell the agent.
    Tell(Notice),
}

impl State {
    pub(crate) const START: Self = Self { child: Child::Running, asked: Asked::Nothing };

    /// The state after an event, and what is to be done, in this order.
    pub(crate) fn step(self, rules: &Rules, event: Event) -> (Self, Vec<Action>) {
        use Action as Do;
        let Self { child, asked } = self;
        match (child, asked, event) {
            // Our own noise, and what speaks of our own children.
            (
                _,
                _,
                Event::Signal { from: Sender::Ourselves, .. } | Event::Signal { signal: Signal::CHLD, .. },
            ) => (self, vec![]),

            // After the child's end only a request to end means something, and only to the agent. Ctrl-C, which was the
            // child's to understand, is such a request now.
            (Child::Ended(_), _, Event::Signal { signal, .. })
                if rules.term.contains(signal) || ASKS_US.contains(&signal) =>
            {
                let (after, first) = self.asked_to_end();
                (after, vec![Do::Tell(Notice::TermReceived { signal, first })])
            }
            (Child::Ended(_), _, _) => (self, vec![]),

            // What the terminal told us it told the child itself.
            (_, _, Event::Signal { from: Sender::Kernel, .. }) if rules.shared_group => (self, vec![]),
            // The child hears everything first, then the agent hears what concerns it.
            (_, _, Event::Signal { signal, .. }) if rules.term.contains(signal) => {
                let (after, first) = self.asked_to_end();
                let mut actions = vec![Do::Forward(signal)];
                actions.extend(first.then_some(Do::StartGrace));
                actions.push(Do::Tell(Notice::TermReceived { signal, first }));
                (after, actions)
            }
            // A shell's `fg` and `bg`: the terminal first, or the child stops again at once.
            (_, _, Event::Signal { signal: Signal::CONT, .. }) => {
                (self, vec![Do::HandOver, Do::Forward(Signal::CONT)])
            }
            (_, _, Event::Signal { signal, .. }) => (self, vec![Do::Forward(signal)]),

            // A shell's `fg` of what runs gives us the terminal without a word.
            (_, _, Event::Stopped { in_front: true, .. }) => {
                (self, vec![Do::HandOver, Do::Forward(Signal::CONT)])
            }
            // Without us the kernel would not have stopped it, as its group would be orphaned.
            (_, _, Event::Stopped { signal: Signal::TSTP, .. }) if rules.nobody_continues => {
                (self, vec![Do::Forward(Signal::CONT)])
            }
            (Child::Running, _, Event::Stopped { signal, .. }) => {
                let mut actions = vec![Do::Tell(Notice::Stopped { signal })];
                actions.extend(rules.shell_looks.then_some(Do::StopOurselves));
                (Self { child: Child::Stopped, asked }, actions)
            }
            // Continued and stopped again before anybody looked.
            (Child::Stopped, _, Event::Stopped { .. }) => {
                (self, rules.shell_looks.then_some(Do::StopOurselves).into_iter().collect())
            }
            (Child::Stopped, _, Event::Continued) => {
                (Self { child: Child::Running, asked }, vec![Do::Tell(Notice::Continued)])
            }
            (Child::Running, _, Event::Continued) => (self, vec![]),

            (_, _, Event::Ended(status)) => (
                Self { child: Child::Ended(status), asked },
                vec![Do::TakeBack, Do::Tell(Notice::ChildExited(status))],
            ),

            (_, Asked::ToEnd, Event::GraceOver) => {
                (Self { child, asked: Asked::Killed }, vec![Do::Kill, Do::Tell(Notice::Killed)])
            }
            (_, Asked::Nothing | Asked::Killed, Event::GraceOver) => (self, vec![]),
        }
    }

    /// The state after a request to end, and whether it was the first.
    fn asked_to_end(self) -> (Self, bool) {
        match self.asked {
            Asked::Nothing => (Self { asked: Asked::ToEnd, ..self }, true),
            Asked::ToEnd | Asked::Killed => (self, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signal() -> impl Strategy<Value = Signal> {
        // Those with a row of their own as often as all others together.
        let special =
            prop::sample::select(vec![Signal::TERM, Signal::CHLD, Signal::CONT, Signal::TSTP, Signal::INT]);
        prop_oneof![special, (1..=64).prop_map(|number| Signal::new(number).unwrap())]
    }

    fn sender() -> impl Strategy<Value = Sender> {
        prop::sample::select(vec![Sender::Outside, Sender::Kernel, Sender::Ourselves])
    }

    fn status() -> impl Strategy<Value = Status> {
        prop_oneof![any::<u8>().prop_map(Status::Exited), signal().prop_map(Status::Killed)]
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            8 => (signal(), sender()).prop_map(|(signal, from)| Event::Signal { signal, from }),
            2 => (signal(), any::<bool>()).prop_map(|(signal, in_front)| Event::Stopped { signal, in_front }),
            2 => Just(Event::Continued),
            1 => status().prop_map(Event::Ended),
            2 => Just(Event::GraceOver),
        ]
    }

    fn rules() -> impl Strategy<Value = Rules> {
        any::<[bool; 3]>().prop_map(|[shared_group, shell_looks, nobody_continues]| Rules {
            term: [Signal::TERM].into_iter().collect(),
            shared_group,
            shell_looks,
            nobody_continues,
        })
    }

    /// Each event with what it made be done.
    fn run(rules: &Rules, events: &[Event]) -> (State, Vec<(State, Event, Vec<Action>)>) {
        let mut state = State::START;
        let mut done = Vec::new();
        for event in events {
            let (after, actions) = state.step(rules, *event);
            done.push((state, *event, actions));
            state = after;
        }
        (state, done)
    }

    fn count(done: &[(State, Event, Vec<Action>)], what: impl Fn(&Action) -> bool) -> usize {
        done.iter().flat_map(|(_, _, actions)| actions).filter(|action| what(action)).count()
    }

    proptest! {
        #[test]
        fn no_sequence_of_events_loses_how_the_child_ended(
            rules in rules(), events in prop::collection::vec(event(), 0..60),
        ) {
            let (last, done) = run(&rules, &events);
            let first = events.iter().find_map(|event| match event {
                Event::Ended(status) => Some(*status),
                _ => None,
            });
            match first {
                Some(status) => prop_assert_eq!(last.child, Child::Ended(status)),
                None => prop_assert!(!matches!(last.child, Child::Ended(_))),
            }
            let told = count(&done, |action| matches!(action, Action::Tell(Notice::ChildExited(_))));
            prop_assert_eq!(told, usize::from(first.is_some()));
        }

        #[test]
        fn nothing_touches_a_child_that_ended(
            rules in rules(), events in prop::collection::vec(event(), 0..60),
        ) {
            // Its number may be another process's by then.
            for (before, event, actions) in run(&rules, &events).1 {
                if matches!(before.child, Child::Ended(_)) {
                    let only_told = actions.iter().all(|action| matches!(action, Action::Tell(_)));
                    prop_assert!(only_told, "{:?} {:?}", event, actions);
                }
            }
        }

        #[test]
        fn it_escalates_once_and_only_after_a_request_to_end(
            rules in rules(), events in prop::collection::vec(event(), 0..60),
        ) {
            let (_, done) = run(&rules, &events);
            prop_assert!(count(&done, |action| *action == Action::Kill) <= 1);
            prop_assert!(count(&done, |action| *action == Action::StartGrace) <= 1);
            let at = |wanted: Action| done.iter().position(|(_, _, actions)| actions.contains(&wanted));
            if let Some(killed) = at(Action::Kill) {
                prop_assert_eq!(done[killed].1, Event::GraceOver);
                prop_assert!(at(Action::StartGrace).is_some_and(|started| started < killed));
            }
            let firsts = |action: &Action| matches!(action, Action::Tell(Notice::TermReceived { first: true, .. }));
            prop_assert!(count(&done, firsts) <= 1);
        }

        #[test]
        fn l97_each_signal_from_outside_is_forwarded_once_and_none_of_ours(
            rules in rules(), events in prop::collection::vec(event(), 0..60),
        ) {
            for (before, event, actions) in run(&rules, &events).1 {
                let forwarded: Vec<Signal> = actions.iter().filter_map(|action| match action {
                    Action::Forward(signal) => Some(*signal),
                    _ => None,
                }).collect();
                match event {
                    Event::Signal { signal, from } => {
                        let for_the_child = signal != Signal::CHLD
                            && from != Sender::Ourselves
                            && !(from == Sender::Kernel && rules.shared_group)
                            && !matches!(before.child, Child::Ended(_));
                        prop_assert_eq!(forwarded, if for_the_child { vec![signal] } else { vec![] });
                    }
                    Event::Stopped { .. } => prop_assert!(forwarded.iter().all(|sent| *sent == Signal::CONT)),
                    _ => prop_assert!(forwarded.is_empty()),
                }
            }
        }

        #[test]
        fn we_stop_only_for_a_shell_that_waits_and_only_when_the_child_did(
            rules in rules(), events in prop::collection::vec(event(), 0..60),
        ) {
            for (_, event, actions) in run(&rules, &events).1 {
                if actions.contains(&Action::StopOurselves) {
                    prop_assert!(rules.shell_looks);
                    let stopped = matches!(event, Event::Stopped { in_front: false, .. });
                    prop_assert!(stopped, "{:?}", event);
                }
            }
        }
    }

    #[test]
    fn l95_a_child_that_ignores_sigterm_is_killed_when_the_grace_is_over() {
        let rules = Rules { term: [Signal::TERM].into_iter().collect(), ..Rules::default() };
        let term = Event::Signal { signal: Signal::TERM, from: Sender::Outside };
        let (asked, actions) = State::START.step(&rules, term);
        let told = Action::Tell(Notice::TermReceived { signal: Signal::TERM, first: true });
        assert_eq!(actions, [Action::Forward(Signal::TERM), Action::StartGrace, told]);
        let (killed, actions) = asked.step(&rules, Event::GraceOver);
        assert_eq!(actions, [Action::Kill, Action::Tell(Notice::Killed)]);
        assert_eq!(killed.asked, Asked::Killed);
    }
}
