//! What tracers count is normalized like what they trace (`facts/trace-intake.md` §8).

use crate::normalize;
use crate::truncate;
use model::Bump;
use model::stats::{ClientStats, StatsGroup};

/// Gives a payload of a tracer the fields its request or the agent know better: the agent's
/// environment where it has none, normalized either way, language and version of the tracer.
pub fn normalize_payload(stats: &mut ClientStats, agent_env: &str, lang: &str, tracer_version: &str) {
    let arena = Bump::new();
    let env = if stats.env.is_empty() { agent_env } else { &stats.env };
    let env = normalize::tag_value(&arena, env);
    if *env != *stats.env {
        stats.env = env.to_owned();
    }
    for (field, header) in [(&mut stats.lang, lang), (&mut stats.tracer_version, tracer_version)] {
        if field.is_empty() {
            *field = header.to_owned();
        }
    }
}

/// Normalizes service, operation and resource of a group, as those of a span: to be called before
/// the resource is matched, obfuscated or replaced. `arena` holds what is rewritten on the way.
pub fn normalize_group(arena: &Bump, group: &mut StatsGroup, lang: &str, resource_max_bytes: usize) {
    let (service, _) = normalize::service(arena, &group.service, lang);
    if *service != *group.service {
        group.service = service.to_owned();
    }
    let (name, _) = normalize::name(arena, &group.name);
    if *name != *group.name {
        group.name = name.to_owned();
    }
    if group.resource.is_empty() {
        group.resource.clone_from(&group.name);
    }
    let kept = truncate::at(&group.resource, resource_max_bytes).len();
    group.resource.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_becomes_what_its_spans_would() {
        let arena = Bump::new();
        let mut group =
            StatsGroup { service: "Bad Service!!".into(), name: "bad-name".into(), ..StatsGroup::default() };
        normalize_group(&arena, &mut group, "python", 5);
        assert_eq!((group.service.as_str(), group.name.as_str()), ("bad_service", "bad_name"));
        assert_eq!(group.resource, "bad_n");
        let mut group = StatsGroup { resource: "grün".into(), ..StatsGroup::default() };
        normalize_group(&arena, &mut group, "python", 3);
        assert_eq!(
            (group.service.as_str(), group.name.as_str()),
            ("unnamed-python-service", "unnamed_operation")
        );
        assert_eq!(group.resource, "gr");
    }

    #[test]
    fn a_payload_takes_what_it_lacks_from_the_request() {
        let mut stats = ClientStats { lang: "go".into(), ..ClientStats::default() };
        normalize_payload(&mut stats, "Prod Env", "python", "1.2");
        assert_eq!(
            (stats.env.as_str(), stats.lang.as_str(), stats.tracer_version.as_str()),
            ("prod_env", "go", "1.2")
        );
        let mut stats = ClientStats { env: "Staging".into(), ..ClientStats::default() };
        normalize_payload(&mut stats, "prod", "", "");
        assert_eq!(stats.env, "staging");
    }
}
