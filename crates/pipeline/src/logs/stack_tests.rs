//! Stack traces as the languages' runtimes print them, each between two logs of another kind.

use super::multi_line::Grouping;
use super::{Message, Stream};

/// The messages of a text.
fn messages(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    let mut emit = |message: Message<'_>| messages.push(String::from_utf8(message.bytes.to_vec()).unwrap());
    let mut stream = Stream::new(Grouping::Automatic);
    stream.push(text.as_bytes(), 1, &mut emit);
    stream.finish(1, &mut emit);
    messages
}

/// The trace is one message, whatever stands around it.
#[track_caller]
fn check(trace: &str) {
    for neighbour in ["listening on 8080", "{\"level\":\"info\"}", "2024-05-06 07:08:09 INFO done"] {
        let after = if trace.starts_with("2024") { neighbour } else { "2024-05-06 07:08:10 INFO done" };
        let before = if neighbour.starts_with("2024") { "plain words" } else { neighbour };
        let text = format!("{before}\n{trace}\n{after}\n");
        assert_eq!(messages(&text), [before, trace, after]);
    }
}

#[test]
fn java() {
    check(
        "Exception in thread \"main\" java.lang.IllegalStateException: cannot start\n\
         \tat com.shop.Main.start(Main.java:31)\n\
         \tat com.shop.Main.main(Main.java:12)\n\
         \tSuppressed: java.io.IOException: close failed\n\
         \t\tat com.shop.File.close(File.java:9)\n\
         \t\t... 2 more\n\
         Caused by: java.sql.SQLException: no connection\n\
         \tat com.shop.Db.open(Db.kt:77)\n\
         \t... 1 common frames omitted",
    );
}

#[test]
fn an_exception_belongs_to_the_log_that_announces_it() {
    check(
        "2024-05-06 07:08:09.123 ERROR [main] c.s.Orders - order 17 failed\n\
         java.lang.NullPointerException: Cannot invoke \"Order.id()\"\n\
         \tat com.shop.Orders.place(Orders.java:42)\n\
         Caused by: java.lang.Error\n\
         \tat com.shop.Orders.id(Orders.java:2)",
    );
    check(
        "ERROR:root:order failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nKeyError: 'x'",
    );
}

#[test]
fn names_of_exceptions_are_told_from_other_words() {
    check("2024-05-06T07:08:09Z FATAL stopping\nUncaught TypeError: x\n    at f (a.js:1:1)");
    let apart = "2024-05-06T07:08:09Z FATAL stopping\nThe Error: x";
    assert_eq!(messages(apart), apart.split('\n').collect::<Vec<_>>());
}

#[test]
fn python() {
    check(
        "Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in load\n    return table[key]\n           ~~~~~^^^^^\n\
         KeyError: 'x'\n\nDuring handling of the above exception, another exception occurred:\n\n\
         Traceback (most recent call last):\n  File \"/app/a.py\", line 9, in <module>\n    load()\n\
         app.errors.LoadError: no x\n\n\
         The above exception was the direct cause of the following exception:\n\n\
         Traceback (most recent call last):\n  File \"/app/b.py\", line 1, in <module>\nSystemExit",
    );
    check(
        "ERROR failed\n  + Exception Group Traceback (most recent call last):\n  |   File \"a.py\", line 1, in f\n  \
         | ExceptionGroup: two (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    \
         | ValueError: 1\n    +------------------------------------",
    );
}

#[test]
fn javascript() {
    check(
        "TypeError: Cannot read properties of undefined (reading 'id')\n    at place (/app/orders.js:7:15)\n    \
         at async Server.<anonymous> (file:///app/main.mjs:3:1) {\n  code: 'E_ORDER',\n  [cause]: Error: gone\n      \
         at f (/app/db.js:1:1)\n}",
    );
    check(
        "/app/main.js:3\n    throw new RangeError('out');\n    ^\n\nRangeError: out\n    at f (/app/main.js:3:9)\n    \
         at node:internal/main/run_main_module:23:47\n\nNode.js v20.11.0",
    );
}

#[test]
fn go() {
    check(
        "panic: runtime error: invalid memory address or nil pointer dereference [recovered]\n\tpanic: again\n\
         [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x48]\n\ngoroutine 1 [running]:\n\
         panic({0x45a0, 0xc0})\n\t/usr/lib/go/src/runtime/panic.go:884 +0x213\nmain.(*Server).serve(0xc000010000, {0x0, 0x1})\n\
         \t/app/main.go:8 +0x1d\nmain.main()\n\t/app/main.go:4 +0x1d\n\ngoroutine 7 [select, 2 minutes]:\n\
         github.com/a/b.(*Pool).run(...)\n\t/go/b.go:2\ncreated by github.com/a/b.New in goroutine 1\n\t/go/b.go:9 +0x3\nexit status 2",
    );
    check(
        "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:\nmain.main()\n\t/app/a.go:3 +0x1",
    );
    check(
        "2024/05/06 07:08:09 http: panic serving 127.0.0.1:5: boom\ngoroutine 5 [running]:\nnet/http.(*conn).serve.func1()\n\t/go/s.go:1 +0x2",
    );
}

#[test]
fn dot_net() {
    check(
        "Unhandled exception. System.InvalidOperationException: cannot start\n ---> System.IO.IOException: no disk\n   \
         at Shop.Disk.Open() in /src/Disk.cs:line 4\n   --- End of inner exception stack trace ---\n   \
         at Shop.Program.Main(String[] args) in /src/Program.cs:line 9\n\
         --- End of stack trace from previous location ---\n   at Shop.Program.<Main>(String[] args)",
    );
}

#[test]
fn ruby() {
    check(
        "/app/a.rb:3:in `load': no order (RuntimeError)\n\tfrom /app/a.rb:9:in `block in run'\n\tfrom /app/a.rb:12:in `<main>'",
    );
    check(
        "Traceback (most recent call last):\n\t1: from a.rb:5:in `<main>'\na.rb:2:in `f': boom (RuntimeError)",
    );
    check(
        "NoMethodError (undefined method `id' for nil:NilClass):\n\napp/models/a.rb:3:in `id'\napp/models/b.rb:9:in 'B#run'",
    );
}

#[test]
fn php() {
    check(
        "PHP Fatal error:  Uncaught RuntimeException: no order in /app/a.php:3\nStack trace:\n#0 /app/a.php(9): load()\n\
         #1 {main}\n\nNext LogicException: wrong in /app/a.php:5\nStack trace:\n#0 {main}\n  thrown in /app/a.php on line 5",
    );
    check(
        "[2024-05-06 07:08:09] production.ERROR: no order {\"exception\":\"[object] (E at /app/a.php:3)\n[stacktrace]\n#0 /app/a.php(9): load()\n#1 {main}\n\"}",
    );
}

#[test]
fn indented_lines_belong_to_the_line_above_them() {
    check("SELECT *\n  FROM orders\n\tWHERE id = 1");
    check("options: {\n  a: 1,\n  b: [\n  ]\n}");
}

#[test]
fn lines_that_say_nothing_of_belonging_together_stay_apart() {
    for text in [
        "one\ntwo\n}\nthree",
        "starting\nValueError: x",
        "starting\nTraceback (most recent call last):",
        "  a\n  b",
        "{\"a\":1}\n{\"a\":2}\n  b",
        "GET /a\nat home (really)\nfrom me\n#1 of all\n[stack]",
        "2024-05-06 07:08:09 INFO a\n2024-05-06 07:08:09 INFO b\nc",
        "KeyError: 'x'\nDuring lunch",
        "main.main()\nexit status 2",
        "a\n\n\n\nb",
    ] {
        let want: Vec<_> = text.split('\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(messages(text), want);
    }
}

#[test]
fn what_follows_a_trace_is_no_part_of_it() {
    let python = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'";
    assert_eq!(messages(&format!("{python}\nretrying\n\n  indented")), [python, "retrying", "  indented"]);
    assert_eq!(messages(&format!("{python}\n{python}")), [python, python]);
    let go = "panic: x\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1 +0x1";
    assert_eq!(
        messages(&format!("{go}\nrestarting now (again)\nmain.main()")),
        [go, "restarting now (again)", "main.main()"]
    );
}
