//! Statistics that tracers counted, brought to the form of those counted here
//! (`facts/trace-intake.md` §8): the same names, rules and obfuscation, so that they meet under one key.

use super::{Client, Processor};
use crate::normalize;
use model::Bump;
use model::stats::{ClientStats, StatsGroup};

impl Processor {
    /// Normalizes, filters, obfuscates and replaces the groups of a payload. Returns how many groups were
    /// removed because their resource is ignored.
    ///
    /// `obfuscated` says that the tracer did that part itself (`Datadog-Obfuscation-Version`).
    pub fn client_stats(&self, stats: &mut ClientStats, client: &Client<'_>, obfuscated: bool) -> u64 {
        let mut arena = Bump::new();
        let env = if stats.env.is_empty() { &self.env } else { &stats.env };
        stats.env = normalize::tag_value(&arena, env).to_owned();
        for (field, of_client) in [
            (&mut stats.lang, client.lang),
            (&mut stats.tracer_version, client.tracer_version),
            (&mut stats.process_tags, client.process_tags),
        ] {
            if field.is_empty() {
                of_client.clone_into(field);
            }
        }
        if !client.container_id.is_empty() {
            client.container_id.clone_into(&mut stats.container_id);
        }
        let mut ignored = 0;
        for bucket in &mut stats.buckets {
            bucket.groups.retain_mut(|group| {
                normalize_group(&arena, group, &stats.lang);
                arena.reset();
                if self.rules.ignores(&group.resource) {
                    ignored += 1;
                    return false;
                }
                if !obfuscated {
                    let hidden =
                        self.obfuscator.stats_resource(&group.span_type, &group.db_type, &group.resource);
                    // Borrowed may also be the text for what could not be read.
                    if hidden != group.resource {
                        group.resource = hidden.into_owned();
                    }
                }
                self.rules.replace_in_stats(group);
                true
            });
        }
        ignored
    }
}

fn normalize_group(arena: &Bump, group: &mut StatsGroup, lang: &str) {
    let (service, _) = normalize::service(arena, &group.service, lang);
    if service != group.service {
        group.service = service.to_owned();
    }
    let (name, _) = normalize::name(arena, &group.name);
    if name != group.name {
        group.name = name.to_owned();
    }
    if group.resource.is_empty() {
        group.resource.clone_from(&group.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProcessConfig, ReplaceRule, Rules};
    use model::stats::StatsBucket;
    use regex::Regex;

    fn group(service: &str, name: &str, resource: &str, span_type: &str) -> StatsGroup {
        StatsGroup {
            service: service.into(),
            name: name.into(),
            resource: resource.into(),
            span_type: span_type.into(),
            hits: 1,
            ..StatsGroup::default()
        }
    }

    fn check(obfuscated: bool, want: [&str; 3]) {
        let processor = Processor::new(
            ProcessConfig {
                env: "Prod".into(),
                rules: Rules {
                    replace: vec![ReplaceRule::new("resource.name", "users", "people").unwrap()],
                    ignore_resources: vec![Regex::new("^GET /health$").unwrap()],
                    ..Rules::default()
                },
                ..ProcessConfig::default()
            },
            0,
        );
        let groups = vec![
            group("My DB", "sql-query", "SELECT 1 FROM users", "sql"),
            group("web", "http", "GET /health", "web"),
            group("db", "sql", "SELECT 'secret", "sql"),
            group("", "", "", ""),
        ];
        let mut stats = ClientStats {
            tracer_version: "1.0".into(),
            container_id: "of the payload".into(),
            buckets: vec![StatsBucket { groups, ..StatsBucket::default() }],
            ..ClientStats::default()
        };
        let client = Client { lang: "go", tracer_version: "2.0", container_id: "c1", ..Client::default() };
        assert_eq!(processor.client_stats(&mut stats, &client, obfuscated), 1);
        assert_eq!((stats.env.as_str(), stats.lang.as_str()), ("prod", "go"));
        assert_eq!((stats.tracer_version.as_str(), stats.container_id.as_str()), ("1.0", "c1"));
        let got: Vec<_> = stats.buckets[0]
            .groups
            .iter()
            .map(|group| format!("{}|{}|{}", group.service, group.name, group.resource))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn groups_get_the_names_and_rules_of_spans() {
        let unnamed = "unnamed-go-service|unnamed_operation|unnamed_operation";
        check(false, ["my_db|sql_query|SELECT ? FROM people", "db|sql|Non-parsable SQL query", unnamed]);
        check(true, ["my_db|sql_query|SELECT 1 FROM people", "db|sql|SELECT 'secret", unnamed]);
    }
}
