//! What a sample becomes by its tags and by configuration (`facts/dogstatsd.md` §2.5, §4, §6).

use super::config::MetricsConfig;
use super::mapper::Profile;
use bumpalo::collections::Vec as BumpVec;
use model::Bump;
use model::metric::{MetricType, Origin};

/// Configuration, made ready.
#[derive(Debug)]
pub(super) struct Rules {
    /// With its dot.
    namespace: String,
    namespace_exclusions: Vec<String>,
    /// Sorted.
    blocklist: Vec<String>,
    blocklist_match_prefix: bool,
    pub(super) mapper: Vec<Profile>,
    pub(super) hostname: String,
    /// Tags of everything, sorted.
    tags: Vec<String>,
    /// Tags of what has none with that key: `key:` and `key:value`.
    unified: Vec<(String, String)>,
    platform_tags: Vec<String>,
    instance_tag: Option<String>,
    origin: Option<(u32, u32)>,
    /// Nothing is told of histograms.
    ignores_histograms: bool,
}

/// A context with nothing left of how it was spelled: two that are equal are one metric.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    /// Without its namespace.
    pub(super) name: &'a str,
    pub(super) host: &'a str,
    /// Sorted, each once; none that everything gets anyhow.
    pub(super) tags: BumpVec<'a, &'a str>,
}

/// What a name and tags are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spelling<'a> {
    /// After the mapper.
    pub(super) name: &'a [u8],
    pub(super) tags: &'a [u8],
    /// Of the mapper, separated by commas.
    pub(super) mapped_tags: &'a [u8],
}

/// Tags that say something to the agent, and only to it.
const CONSUMED: [&str; 3] = ["dd.internal.entity_id:", "dd.internal.card:", "dd.internal.jmx_check_name:"];
const HOST: &str = "host:";
const DEVICE: &str = "device:";
const RESOURCE: &str = "dd.internal.resource:";

impl Rules {
    pub(super) fn new(config: MetricsConfig) -> Self {
        let mut namespace = config.namespace;
        if !namespace.is_empty() && !namespace.ends_with('.') {
            namespace.push('.');
        }
        let mut blocklist = config.blocklist;
        model::order::sort(&mut blocklist);
        if config.blocklist_match_prefix {
            // Behind an entry that is a prefix of another the search would stop at the longer one.
            blocklist.dedup_by(|later, earlier| later.starts_with(earlier.as_str()));
        }
        let mut tags: Vec<String> = config.tags.into_iter().filter(|tag| !tag.is_empty()).collect();
        model::order::sort(&mut tags);
        tags.dedup();
        let named = [("env:", config.env), ("service:", config.service), ("version:", config.version)];
        let unified = named.into_iter().filter_map(|(key, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            let known = tags.iter().any(|tag| tag.starts_with(key));
            (!known).then(|| (key.to_owned(), format!("{key}{value}")))
        });
        Self {
            unified: unified.collect(),
            namespace,
            namespace_exclusions: config.namespace_exclusions,
            blocklist,
            blocklist_match_prefix: config.blocklist_match_prefix,
            mapper: config.mapper,
            hostname: config.hostname,
            tags,
            platform_tags: Vec::new(),
            instance_tag: config.instance_tag.filter(|tag| !tag.is_empty()),
            origin: config.origin,
            ignores_histograms: config.aggregates == super::Aggregates::NONE
                && config.percentiles.is_empty()
                && !config.copy_to_distribution,
        }
    }

    /// Tags of everything that become known after samples came: what these mean does not change any more.
    pub(super) fn set_platform_tags(&mut self, tags: Vec<String>) {
        self.platform_tags = tags;
    }

    /// Tags of everything that become known before any sample: as those of the configuration, they tell no two
    /// contexts apart.
    pub(super) fn add_tags(&mut self, tags: Vec<String>) {
        self.tags.extend(tags);
        model::order::sort(&mut self.tags);
        self.tags.dedup();
    }

    /// Whether nothing comes of a type.
    pub(super) fn ignores(&self, metric_type: MetricType) -> bool {
        self.ignores_histograms && matches!(metric_type, MetricType::Histogram | MetricType::Timing)
    }

    /// The new name of a metric and tags to add, if the mapper has any.
    pub(super) fn map(&self, name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut mapped, mut tags) = (Vec::new(), Vec::new());
        self.mapper.iter().any(|profile| profile.map(name, &mut mapped, &mut tags)).then_some((mapped, tags))
    }

    /// What a spelling means. Bytes that are no text are told as U+FFFD.
    pub(super) fn read<'a>(&'a self, arena: &'a Bump, spelling: Spelling<'a>) -> Canonical<'a> {
        let mut host = self.hostname.as_str();
        let mut tags = BumpVec::with_capacity_in(16, arena);
        for list in [spelling.tags, spelling.mapped_tags] {
            for tag in text(arena, list).split(',') {
                if let Some(name) = tag.strip_prefix(HOST) {
                    host = name;
                } else if !tag.is_empty() && !is_consumed(tag) {
                    tags.push(tag);
                }
            }
        }
        tags.sort_unstable();
        tags.dedup();
        if !self.tags.is_empty() {
            tags.retain(|tag| self.tags.binary_search_by(|own| own.as_str().cmp(tag)).is_err());
        }
        for (key, own) in &self.unified {
            // One that is like ours is left out, unless there is another one of that key beside it.
            let mut of_key = tags.iter().enumerate().filter(|(_, tag)| tag.starts_with(key.as_str()));
            if let (Some((at, tag)), None) = (of_key.next(), of_key.next())
                && *tag == own.as_str()
            {
                tags.remove(at);
            }
        }
        Canonical { name: text(arena, spelling.name), host, tags }
    }

    /// What stands before a name.
    pub(super) fn namespace(&self, name: &str) -> &str {
        let excluded = || self.namespace_exclusions.iter().any(|prefix| name.starts_with(prefix.as_str()));
        if self.namespace.is_empty() || excluded() { "" } else { &self.namespace }
    }

    /// Whether a name is on the blocklist.
    pub(super) fn blocks(&self, name: &str) -> bool {
        if self.blocklist.is_empty() {
            return false;
        }
        let full = [self.namespace(name), name].concat();
        let at = self.blocklist.partition_point(|entry| *entry <= full);
        let Some(entry) = at.checked_sub(1).map(|at| &self.blocklist[at]) else { return false };
        if self.blocklist_match_prefix { full.starts_with(entry.as_str()) } else { full == *entry }
    }

    /// Who made a metric (`facts/dogstatsd.md` §6).
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        const CUSTOM: u32 = 472;
        const PLATFORM: u32 = 473;
        const RUNTIME: u32 = 474;
        let (product, category) = self.origin?;
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let service = match self.namespace(name) {
            "" if begins(&["datadog."]) => return None,
            "" if begins(&["jvm.", "runtime."]) => RUNTIME,
            "" if begins(&["aws.lambda", "gcp.run", "azure.functions"]) => PLATFORM,
            _ => CUSTOM,
        };
        Some(Origin { product, category, service })
    }

    /// The tags of a series, and the resources that some of them become.
    pub(super) fn series_tags<'a>(
        &'a self,
        arena: &'a Bump,
        canonical: &Canonical<'a>,
    ) -> (BumpVec<'a, &'a str>, BumpVec<'a, (&'a str, &'a str)>) {
        let mut resources = BumpVec::new_in(arena);
        let mut tags = self.tags(arena, canonical, |tag| {
            let resource = resource(tag);
            resources.extend(resource);
            resource.is_none()
        });
        if canonical.host.is_empty()
            && let Some(tag) = &self.instance_tag
            && !tags.contains(&tag.as_str())
        {
            tags.push(tag);
        }
        (tags, resources)
    }

    /// The tags of a distribution. Its format has no resources: what would become one stays a tag.
    pub(super) fn distribution_tags<'a>(
        &'a self,
        arena: &'a Bump,
        canonical: &Canonical<'a>,
    ) -> BumpVec<'a, &'a str> {
        self.tags(arena, canonical, |_| true)
    }

    fn tags<'a>(
        &'a self,
        arena: &'a Bump,
        canonical: &Canonical<'a>,
        mut keep: impl FnMut(&'a str) -> bool,
    ) -> BumpVec<'a, &'a str> {
        let own = &canonical.tags;
        let more = self.tags.len() + self.unified.len() + self.platform_tags.len() + 1;
        let mut tags = BumpVec::with_capacity_in(own.len() + more, arena);
        tags.extend(own.iter().copied().filter(|tag| keep(tag)));
        tags.extend(self.tags.iter().map(String::as_str));
        for (key, tag) in &self.unified {
            if !own.iter().any(|tag| tag.starts_with(key.as_str())) {
                tags.push(tag);
            }
        }
        for tag in &self.platform_tags {
            if !tags.contains(&tag.as_str()) {
                tags.push(tag);
            }
        }
        tags
    }
}

fn is_consumed(tag: &str) -> bool {
    tag.starts_with("dd.internal.") && CONSUMED.iter().any(|prefix| tag.starts_with(prefix))
}

/// Type and name of the resource that a tag stands for.
fn resource(tag: &str) -> Option<(&str, &str)> {
    match tag.strip_prefix(DEVICE) {
        Some(device) => Some(("device", device)),
        None => tag.strip_prefix(RESOURCE)?.split_once(':'),
    }
}

fn text<'a>(arena: &'a Bump, bytes: &'a [u8]) -> &'a str {
    str::from_utf8(bytes).unwrap_or_else(|_| arena.alloc_str(&String::from_utf8_lossy(bytes)))
}
