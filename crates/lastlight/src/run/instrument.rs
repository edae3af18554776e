//! Automatic instrumentation: what a tracer's folder in the image asks of the program's environment
//! (`facts/platforms.md` §7).
//!
//! The first folder found counts. Values that are set stay, and get something behind them; what is there already is not
//! added again, so that a wrapper in a wrapper, or an image that says it itself, changes nothing. It is all or nothing:
//! `NODE_OPTIONS` without `NODE_PATH` would end every `node`.
//!
//! Beyond the reference, a folder without its tracer (`dd-trace`, `dd-java-agent.jar`) changes nothing, since `node` and
//! `java` refuse to start when they are told to load what is not there. A variable whose value is not text cannot be
//! added to without harm; then the tracer is left out, and a line says so.
//!
//! Where a list is empty, nothing but the addition is set: an empty entry of `PYTHONPATH` is the directory in which the
//! program starts, from which anybody's modules would be taken (tried with Python 3.11). `node` passes empty entries over,
//! and `java` blanks; neither needs one. In `PHP_INI_SCAN_DIR` alone an empty entry is wanted: it stands for the folder
//! that PHP was built with. Set and empty, it means that no folder is read, and stays so but for ours.
//!
//! Ruby and PHP have no such folder in the reference. Here `/dd_tracer/ruby/` and `/dd_tracer/php/` are what the tracers'
//! images for injection (`dd-lib-ruby-init`, `dd-lib-php-init`) carry: both find their parts beside the file that is named
//! (read in their sources, not run). Ruby's package is for glibc only; of PHP's, the loader is taken that fits the image's C
//! library, and none where that cannot be told. Go's tracer is compiled in.

use agent::config::source::Strings;
use std::path::Path;

/// Where tracers are looked for.
const ROOT: &str = "/dd_tracer";
/// The profiler of the .NET tracer.
const DOTNET_PROFILER: &str = "{846F5F1C-F9AE-4B07-969E-05C26BC060D8}";
/// Dynamic loaders of the C libraries, on the processors that there are tracers for.
const GLIBC: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
const MUSL: [&str; 2] = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"];

/// A variable and its new value.
type Edit = (&'static str, String);
/// What a tracer in a folder asks for, or why it cannot be loaded.
type Edits<'a> = fn(&Image<'a>, &str) -> Result<Vec<Edit>, String>;

/// Whether a file or a folder is there; with a slash at its end, a folder.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists()
}

/// Variables for the tracer whose folder is found first; what keeps it from being loaded is said.
pub(super) fn edits(strings: &dyn Strings, is_there: &dyn Fn(&Path) -> bool) -> Vec<Edit> {
    let image = Image { root: ROOT, strings, unreadable: strings.unreadable(), is_there };
    image.edits().unwrap_or_else(|why| {
        say!("lastlight: {why}; the program runs without that tracer");
        Vec::new()
    })
}

/// What there is to decide by.
struct Image<'a> {
    root: &'a str,
    strings: &'a dyn Strings,
    unreadable: Vec<String>,
    is_there: &'a dyn Fn(&Path) -> bool,
}

impl<'a> Image<'a> {
    fn edits(&self) -> Result<Vec<Edit>, String> {
        let tracers: [(&str, Edits<'a>); 6] = [
            ("node", Self::node),
            ("java", Self::java),
            ("dotnet", Self::dotnet),
            ("python", Self::python),
            ("ruby", Self::ruby),
            ("php", Self::php),
        ];
        let folders = tracers.into_iter().map(|(name, edits)| (format!("{}/{name}/", self.root), edits));
        let found = folders.into_iter().find(|(folder, _)| self.has(folder));
        found.map_or(Ok(Vec::new()), |(folder, edits)| edits(self, &folder))
    }

    fn node(&self, folder: &str) -> Result<Vec<Edit>, String> {
        let places = [folder.to_owned(), format!("{folder}node_modules")];
        if !places.iter().any(|place| self.has(&format!("{}/dd-trace", place.trim_end_matches('/')))) {
            return Err(format!("{folder} has no dd-trace"));
        }
        let path = self.with_entries("NODE_PATH", &places)?;
        // Whatever way of loading it: --require, -r, --import of dd-trace/initialize.mjs, a whole path.
        let options =
            self.with_word("NODE_OPTIONS", "--require dd-trace/init", |word| word.contains("dd-trace/init"))?;
        Ok(path.into_iter().chain(options).collect())
    }

    fn java(&self, folder: &str) -> Result<Vec<Edit>, String> {
        let jar = format!("{folder}dd-java-agent.jar");
        if !self.has(&jar) {
            return Err(format!("{jar} is not there"));
        }
        let is_agent = |word: &str| {
            let jar = word.strip_prefix("-javaagent:").and_then(|rest| rest.split('=').next());
            jar.is_some_and(|jar| jar.ends_with("dd-java-agent.jar"))
        };
        let options = self.with_word("JAVA_TOOL_OPTIONS", &format!("-javaagent:{jar}"), is_agent)?;
        Ok(options.into_iter().collect())
    }

    /// There is place for one profiler: where the image names another one, that is its choice.
    fn dotnet(&self, folder: &str) -> Result<Vec<Edit>, String> {
        let is_others = |profiler: String| !profiler.eq_ignore_ascii_case(DOTNET_PROFILER);
        if self.get("CORECLR_PROFILER")?.is_some_and(is_others) {
            return Ok(Vec::new());
        }
        let values = [
            ("CORECLR_ENABLE_PROFILING", "1".to_owned()),
            ("CORECLR_PROFILER", DOTNET_PROFILER.to_owned()),
            ("CORECLR_PROFILER_PATH", format!("{folder}Datadog.Trace.ClrProfiler.Native.so")),
            ("DD_DOTNET_TRACER_HOME", folder.to_owned()),
        ];
        let mut edits = Vec::new();
        for (name, value) in values {
            if self.get(name)?.is_none() {
                edits.push((name, value));
            }
        }
        Ok(edits)
    }

    fn python(&self, folder: &str) -> Result<Vec<Edit>, String> {
        Ok(self.with_entries("PYTHONPATH", &[folder.to_owned()])?.into_iter().collect())
    }

    fn ruby(&self, folder: &str) -> Result<Vec<Edit>, String> {
        if !self.has(&format!("{folder}auto_inject.rb")) {
            return Err(format!("{folder}auto_inject.rb is not there"));
        }
        if self.c_library() != Some("gnu") {
            return Err(format!("the tracer in {folder} needs glibc"));
        }
        // The gem's own way of loading itself, too.
        let is_loaded = |word: &str| word.contains("auto_inject") || word.contains("auto_instrument");
        let options = self.with_word("RUBYOPT", &format!("-r{folder}auto_inject"), is_loaded)?;
        Ok(options.into_iter().collect())
    }

    fn php(&self, folder: &str) -> Result<Vec<Edit>, String> {
        let Some(c_library) = self.c_library() else {
            return Err(format!("the image has more than one C library, or none: which loader of {folder}?"));
        };
        let loader = format!("{folder}linux-{c_library}/loader");
        if !self.has(&format!("{loader}/dd_library_loader.ini")) {
            return Err(format!("{loader}/dd_library_loader.ini is not there"));
        }
        let package = folder.trim_end_matches('/');
        let mut edits = Vec::new();
        match self.get("DD_LOADER_PACKAGE_PATH")? {
            None => edits.push(("DD_LOADER_PACKAGE_PATH", package.to_owned())),
            Some(set) if set.trim_end_matches('/') == package => {}
            // The image loads another package.
            Some(_) => return Ok(Vec::new()),
        }
        // Empty is not the same as not set here.
        let is_set = self.strings.get("PHP_INI_SCAN_DIR").is_some();
        match self.with_entries("PHP_INI_SCAN_DIR", &[loader])? {
            Some((name, value)) if !is_set => edits.push((name, format!(":{value}"))),
            edit => edits.extend(edit),
        }
        Ok(edits)
    }

    /// `gnu` or `musl`, where the image has exactly one of them.
    fn c_library(&self) -> Option<&'static str> {
        let has = |loaders: [&str; 2]| loaders.into_iter().any(|loader| self.has(loader));
        match (has(GLIBC), has(MUSL)) {
            (true, false) => Some("gnu"),
            (false, true) => Some("musl"),
            _ => None,
        }
    }

    fn has(&self, path: &str) -> bool {
        (self.is_there)(Path::new(path))
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Result<Option<String>, String> {
        if self.unreadable.iter().any(|unreadable| unreadable == name) {
            return Err(format!("{name} is not UTF-8 and stays as it is"));
        }
        Ok(self.strings.get(name).filter(|value| !value.is_empty()))
    }

    /// A list between colons with those of these entries behind it that it lacks; none where it lacks none.
    fn with_entries(&self, name: &'static str, entries: &[String]) -> Result<Option<Edit>, String> {
        let value = self.get(name)?.unwrap_or_default();
        let same = |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
        let lacks = |entry: &&String| !value.split(':').any(|known| same(known, entry));
        let mut all: Vec<&str> = entries.iter().filter(lacks).map(String::as_str).collect();
        if all.is_empty() {
            return Ok(None);
        }
        if !value.is_empty() {
            all.insert(0, &value);
        }
        Ok(Some((name, all.join(":"))))
    }

    /// Words between blanks with one more behind them; none where it has one that `is_there`.
    fn with_word(
        &self,
        name: &'static str,
        word: &str,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<Option<Edit>, String> {
        Ok(match self.get(name)? {
            Some(value) if value.split_whitespace().any(is_there) => None,
            Some(value) => Some((name, format!("{value} {word}"))),
            None => Some((name, word.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests;
