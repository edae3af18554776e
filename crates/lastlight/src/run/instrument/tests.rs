use super::*;
use agent::config::source::Fixed;
use std::process::Command;

const NODE: &[&str] = &["/dd_tracer/node/", "/dd_tracer/node/node_modules/dd-trace"];
const NODE_IMAGE: &[&str] = &["/dd_tracer/node/", "/dd_tracer/node/dd-trace"];
const JAVA: &[&str] = &["/dd_tracer/java/", "/dd_tracer/java/dd-java-agent.jar"];
const DOTNET: &[&str] = &["/dd_tracer/dotnet/"];
const PYTHON: &[&str] = &["/dd_tracer/python/"];
const RUBY: &[&str] = &["/dd_tracer/ruby/", "/dd_tracer/ruby/auto_inject.rb", GLIBC[0]];
const PHP: &[&str] = &["/dd_tracer/php/", "/dd_tracer/php/linux-gnu/loader/dd_library_loader.ini", GLIBC[1]];
const PHP_MUSL: &[&str] =
    &["/dd_tracer/php/", "/dd_tracer/php/linux-musl/loader/dd_library_loader.ini", MUSL[0]];

fn plan(image: &[&str], strings: &Fixed) -> Result<Vec<Edit>, String> {
    let is_there = |path: &Path| image.iter().any(|there| path.as_os_str() == *there);
    Image { root: ROOT, strings, unreadable: strings.unreadable(), is_there: &is_there }.edits()
}

fn edited(image: &[&str], set: &[(&str, &str)]) -> Vec<Edit> {
    plan(image, &set.iter().copied().collect()).expect("a tracer")
}

/// What is in the image, what it sets, what is set in addition.
type Row = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
);

const BOTH: &str = "/dd_tracer/node/:/dd_tracer/node/node_modules";
const REQUIRE: &str = "--require dd-trace/init";
const AGENT: &str = "-javaagent:/dd_tracer/java/dd-java-agent.jar";
const LIBRARY: &str = "/dd_tracer/dotnet/Datadog.Trace.ClrProfiler.Native.so";

const TABLE: &[Row] = &[
    (&[], &[], &[]),
    (NODE, &[], &[("NODE_PATH", BOTH), ("NODE_OPTIONS", REQUIRE)]),
    (NODE_IMAGE, &[], &[("NODE_PATH", BOTH), ("NODE_OPTIONS", REQUIRE)]),
    (NODE, &[("NODE_PATH", ""), ("NODE_OPTIONS", "")], &[("NODE_PATH", BOTH), ("NODE_OPTIONS", REQUIRE)]),
    (
        NODE,
        &[("NODE_PATH", "/a:/b"), ("NODE_OPTIONS", "--max-old-space-size=100 -r 'x y'")],
        &[
            ("NODE_PATH", "/a:/b:/dd_tracer/node/:/dd_tracer/node/node_modules"),
            ("NODE_OPTIONS", "--max-old-space-size=100 -r 'x y' --require dd-trace/init"),
        ],
    ),
    (
        NODE,
        &[("NODE_PATH", "/dd_tracer/node")],
        &[("NODE_PATH", "/dd_tracer/node:/dd_tracer/node/node_modules"), ("NODE_OPTIONS", REQUIRE)],
    ),
    (NODE, &[("NODE_OPTIONS", "-r dd-trace/init")], &[("NODE_PATH", BOTH)]),
    (NODE, &[("NODE_OPTIONS", "--import dd-trace/initialize.mjs")], &[("NODE_PATH", BOTH)]),
    (NODE, &[("NODE_OPTIONS", "--require=/app/node_modules/dd-trace/init.js")], &[("NODE_PATH", BOTH)]),
    (JAVA, &[], &[("JAVA_TOOL_OPTIONS", AGENT)]),
    (
        JAVA,
        &[("JAVA_TOOL_OPTIONS", "-javaagent:some_agent.jar")],
        &[("JAVA_TOOL_OPTIONS", "-javaagent:some_agent.jar -javaagent:/dd_tracer/java/dd-java-agent.jar")],
    ),
    (JAVA, &[("JAVA_TOOL_OPTIONS", "-javaagent:/app/dd-java-agent.jar=x=y -Xmx1g")], &[]),
    (
        DOTNET,
        &[],
        &[
            ("CORECLR_ENABLE_PROFILING", "1"),
            ("CORECLR_PROFILER", DOTNET_PROFILER),
            ("CORECLR_PROFILER_PATH", LIBRARY),
            ("DD_DOTNET_TRACER_HOME", "/dd_tracer/dotnet/"),
        ],
    ),
    (
        DOTNET,
        &[
            ("CORECLR_ENABLE_PROFILING", "0"),
            ("CORECLR_PROFILER", "{846f5f1c-f9ae-4b07-969e-05c26bc060d8}"),
            ("DD_DOTNET_TRACER_HOME", "/mine/"),
        ],
        &[("CORECLR_PROFILER_PATH", LIBRARY)],
    ),
    (DOTNET, &[("CORECLR_PROFILER", "{01234567-89AB-CDEF-0123-456789ABCDEF}")], &[]),
    (PYTHON, &[], &[("PYTHONPATH", "/dd_tracer/python/")]),
    (PYTHON, &[("PYTHONPATH", "/path1:/path2")], &[("PYTHONPATH", "/path1:/path2:/dd_tracer/python/")]),
    (PYTHON, &[("PYTHONPATH", "/dd_tracer/python:/path2")], &[]),
    (RUBY, &[], &[("RUBYOPT", "-r/dd_tracer/ruby/auto_inject")]),
    (RUBY, &[("RUBYOPT", "-W0")], &[("RUBYOPT", "-W0 -r/dd_tracer/ruby/auto_inject")]),
    (RUBY, &[("RUBYOPT", "-rdatadog/auto_instrument")], &[]),
    (
        PHP,
        &[],
        &[
            ("DD_LOADER_PACKAGE_PATH", "/dd_tracer/php"),
            ("PHP_INI_SCAN_DIR", ":/dd_tracer/php/linux-gnu/loader"),
        ],
    ),
    (
        PHP_MUSL,
        &[("PHP_INI_SCAN_DIR", "/etc/php.d")],
        &[
            ("DD_LOADER_PACKAGE_PATH", "/dd_tracer/php"),
            ("PHP_INI_SCAN_DIR", "/etc/php.d:/dd_tracer/php/linux-musl/loader"),
        ],
    ),
    (
        PHP,
        &[("PHP_INI_SCAN_DIR", ""), ("DD_LOADER_PACKAGE_PATH", "/dd_tracer/php/")],
        &[("PHP_INI_SCAN_DIR", "/dd_tracer/php/linux-gnu/loader")],
    ),
    (PHP, &[("DD_LOADER_PACKAGE_PATH", "/opt/other")], &[]),
];

#[test]
fn a_tracers_folder_adds_to_the_environment_what_it_lacks() {
    for (image, set, wanted) in TABLE {
        let wanted: Vec<Edit> = wanted.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(edited(image, set), wanted, "{image:?} {set:?}");
    }
}

#[test]
fn a_wrapper_in_a_wrapper_adds_nothing() {
    for (image, set, _) in TABLE {
        let mut strings: Fixed = set.iter().copied().collect();
        for (name, value) in edited(image, set) {
            strings = strings.with(name, &value);
        }
        assert_eq!(plan(image, &strings), Ok(Vec::new()), "{image:?} {set:?}");
    }
}

#[test]
fn the_first_folder_found_counts() {
    let mut image = Vec::new();
    for (tracer, variable) in [
        (PHP, "DD_LOADER_PACKAGE_PATH"),
        (RUBY, "RUBYOPT"),
        (PYTHON, "PYTHONPATH"),
        (DOTNET, "CORECLR_ENABLE_PROFILING"),
        (JAVA, "JAVA_TOOL_OPTIONS"),
        (NODE, "NODE_PATH"),
    ] {
        image.extend_from_slice(tracer);
        assert_eq!(edited(&image, &[])[0].0, variable);
    }
}

#[test]
fn what_would_keep_the_program_from_starting_is_not_asked_of_it() {
    for (image, why) in [
        (&["/dd_tracer/node/"][..], "has no dd-trace"),
        (&["/dd_tracer/java/"], "dd-java-agent.jar is not there"),
        (&["/dd_tracer/ruby/", GLIBC[0]], "auto_inject.rb is not there"),
        (&["/dd_tracer/ruby/", "/dd_tracer/ruby/auto_inject.rb", MUSL[1]], "needs glibc"),
        (&["/dd_tracer/php/", GLIBC[0]], "linux-gnu/loader/dd_library_loader.ini is not there"),
        (&["/dd_tracer/php/", GLIBC[0], MUSL[0]], "which loader"),
    ] {
        let said = plan(image, &Fixed::new()).expect_err("no tracer");
        assert!(said.contains(why), "{image:?}: {said}");
    }
}

#[test]
fn a_value_that_is_no_text_is_left_alone_and_the_tracer_with_it() {
    for (image, name) in [
        (NODE, "NODE_PATH"),
        (NODE, "NODE_OPTIONS"),
        (JAVA, "JAVA_TOOL_OPTIONS"),
        (DOTNET, "CORECLR_PROFILER_PATH"),
        (PYTHON, "PYTHONPATH"),
        (RUBY, "RUBYOPT"),
        (PHP, "PHP_INI_SCAN_DIR"),
    ] {
        let strings = Fixed::new().with_unreadable(name);
        let why = format!("{name} is not UTF-8 and stays as it is");
        assert_eq!(plan(image, &strings), Err(why));
        assert_eq!(edits(&strings, &|path| image.iter().any(|there| path.as_os_str() == *there)), []);
    }
}

/// Runs a program with what a folder of the test asks for; none where there is no such program.
fn run(root: &Path, program: &[&str], set: &[(&str, &str)]) -> Option<String> {
    let strings: Fixed = set.iter().copied().collect();
    let root_text = root.to_str().expect("text");
    let image = Image { root: root_text, strings: &strings, unreadable: Vec::new(), is_there: &is_there };
    let edits = image.edits().expect("a tracer");
    assert!(!edits.is_empty());
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).current_dir(root);
    for name in ["NODE_PATH", "NODE_OPTIONS", "PYTHONPATH"] {
        command.env_remove(name);
    }
    let Ok(output) = command.envs(set.iter().copied()).envs(edits).output() else {
        eprintln!("skipped: no {} here", program[0]);
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

#[test]
fn node_loads_the_tracer_wherever_the_image_has_it() {
    for place in ["node/dd-trace", "node/node_modules/dd-trace"] {
        let root = tempfile::tempdir().expect("a folder");
        write(&root.path().join(place).join("init.js"), "process.stdout.write('traced ')");
        for set in [&[][..], &[("NODE_PATH", "/nowhere"), ("NODE_OPTIONS", "--no-warnings")]] {
            let said = run(root.path(), &["node", "-e", "process.stdout.write('ran')"], set);
            assert!(said.is_none_or(|said| said == "traced ran"), "{place} {set:?}");
        }
    }
}

#[test]
fn python_finds_the_tracer_and_takes_nothing_from_where_it_starts() {
    let root = tempfile::tempdir().expect("a folder");
    write(&root.path().join("python/sitecustomize.py"), "print('traced')");
    write(&root.path().join("stray.py"), "");
    let program = root.path().join("app/main.py");
    write(
        &program,
        "import importlib.util as u, sys\nprint(u.find_spec('stray') is None, sum(p.rstrip('/').endswith('/python') for p in sys.path))",
    );
    for set in [&[][..], &[("PYTHONPATH", "/nowhere")]] {
        let said = run(root.path(), &["python3", program.to_str().expect("text")], set);
        assert!(said.as_ref().is_none_or(|said| said == "traced\nTrue 1\n"), "{set:?} {said:?}");
    }
}
