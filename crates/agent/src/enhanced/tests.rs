use super::*;
use proptest::prelude::*;
use std::fmt::Write;

/// What is told of two looks three seconds apart, one line for each sample.
fn told(platform: Platform, face: Face, exit_code: Option<u8>) -> String {
    let plan = plan(platform, face, true).expect("a plan");
    let mut teller = Teller::new(plan, &[], Some(&"i-1".to_owned()));
    let now = Instant::now();
    let first = Reading {
        cpu_ns: Some(1_000),
        cpu_limit: Some(2e9),
        memory: Some(3_000),
        memory_limit: Some(4_000),
        received: Some(50),
        sent: Some(60),
    };
    let second =
        Reading { cpu_ns: Some(1_501_000), received: Some(57), sent: Some(60), memory: Some(2_000), ..first };
    teller.start();
    teller.instance();
    teller.usage(first, now);
    teller.instance();
    teller.usage(second, now + Duration::from_secs(3));
    teller.stop(Duration::from_millis(3_250), exit_code.map(|code| code == 0));
    let mut text = String::new();
    for Sample { name, metric_type, value, tags } in teller.samples {
        writeln!(
            text,
            "{name}:{value}|{}{}{tags}",
            metric_type.letters(),
            if tags.is_empty() { "" } else { "|#" }
        )
        .unwrap();
    }
    text
}

fn usage(prefix: &str) -> [String; 2] {
    let limits = |memory: u32| {
        format!(
            "{prefix}.cpu.limit:2000000000|d\n{prefix}.memory.usage:{memory}|d\n{prefix}.memory.limit:4000|d\n"
        )
    };
    let rates =
        format!("{prefix}.cpu.usage:500000|d\n{prefix}.network.received:7|d\n{prefix}.network.sent:0|d\n");
    [limits(3_000), rates + &limits(2_000)]
}

#[test]
fn a_cloud_run_service_and_function_begin_end_and_are_there() {
    let [first, second] = usage("gcp.run.container.enhanced");
    let expected = format!(
        "gcp.run.container.enhanced.cold_start:1|d\ngcp.run.enhanced.cold_start:1|d\n\
         gcp.run.container.enhanced.instance:1|g|#instance:i-1\n{first}\
         gcp.run.container.enhanced.instance:1|g|#instance:i-1\n{second}\
         gcp.run.container.enhanced.shutdown:1|d\ngcp.run.enhanced.shutdown:1|d\n"
    );
    for platform in [Platform::CloudRunService, Platform::GoogleFunction] {
        assert_eq!(told(platform, Face::Entrypoint, Some(0)), expected);
        assert_eq!(told(platform, Face::Sidecar, None), expected);
    }
}

#[test]
fn a_job_says_how_long_its_task_took_and_how_it_ended() {
    let [first, second] = usage("gcp.run.container.enhanced");
    for (exit_code, succeeded) in [(0, "true"), (1, "false"), (255, "false")] {
        let expected = format!(
            "gcp.run.job.enhanced.task.started:1|d\n{first}{second}\
             gcp.run.job.enhanced.task.duration:3250|d\n\
             gcp.run.job.enhanced.task.ended:1|d|#succeeded:{succeeded}\n"
        );
        assert_eq!(told(Platform::CloudRunJob, Face::Entrypoint, Some(exit_code)), expected);
    }
    assert!(!told(Platform::CloudRunJob, Face::Sidecar, None).contains("task.ended"));
}

#[test]
fn azures_platforms_have_the_documented_names_and_the_older_ones() {
    let [first, second] = usage("azure.app_containerapps.enhanced");
    let expected = format!(
        "azure.app_containerapps.enhanced.cold_start:1|d\nazure.containerapp.enhanced.cold_start:1|d\n{first}{second}\
         azure.app_containerapps.enhanced.shutdown:1|d\nazure.containerapp.enhanced.shutdown:1|d\n"
    );
    assert_eq!(told(Platform::ContainerApps, Face::Entrypoint, Some(0)), expected);
    let [first, second] = usage("azure.app_services.enhanced");
    let expected = format!(
        "azure.app_services.enhanced.cold_start:1|d\nazure.appservice.enhanced.cold_start:1|d\n\
         azure.app_services.enhanced.instance:1|g|#instance:i-1\n{first}\
         azure.app_services.enhanced.instance:1|g|#instance:i-1\n{second}\
         azure.app_services.enhanced.shutdown:1|d\nazure.appservice.enhanced.shutdown:1|d\n"
    );
    assert_eq!(told(Platform::AppService, Face::Entrypoint, Some(0)), expected);
}

#[test]
fn a_plain_container_and_a_machine_have_names_of_their_own() {
    let [first, second] = usage("datadog.serverless_agent.enhanced");
    let expected = format!(
        "datadog.serverless_agent.enhanced.cold_start:1|d\n{first}{second}datadog.serverless_agent.enhanced.shutdown:1|d\n"
    );
    assert_eq!(told(Platform::Local, Face::Entrypoint, Some(0)), expected);
    assert_eq!(
        told(Platform::LambdaMicroVm, Face::Entrypoint, Some(0)),
        format!(
            "aws.lambda.enhanced.microvm.active_instances:1|g|#instance:i-1\n{}",
            usage("aws.lambda.microvm.enhanced").concat()
        )
    );
}

#[test]
fn the_mini_agent_tells_of_a_function_app_and_of_nothing_else() {
    assert_eq!(
        told(Platform::AzureFunctions, Face::Agent, None),
        "azure.functions.enhanced.instance:1|g|#instance:i-1\nazure.functions.enhanced.cpu.usage:500000|d\n"
    );
    let plan_of = |platform, enabled| plan(platform, Face::Agent, enabled);
    for platform in Platform::ALL {
        let is_told = platform == Platform::AzureFunctions;
        assert_eq!(plan_of(platform, true).is_some(), is_told, "{platform:?}");
        assert_eq!(
            plan_of(platform, false).is_some(),
            is_told,
            "{platform:?}: by the instance it is accounted"
        );
        assert_eq!(plan(platform, Face::Entrypoint, false), None, "{platform:?}: it is switched off");
    }
    assert_eq!(plan_of(Platform::AzureFunctions, false).and_then(|plan| plan.usage), None);
}

#[test]
fn of_three_looks_of_the_mini_agent_one_tells_of_the_instance() {
    let plan = plan(Platform::AzureFunctions, Face::Agent, true).expect("a plan");
    let mut teller = Teller::new(plan, &["name:a,b".to_owned()], None);
    for _ in 0..7 {
        teller.instance();
    }
    assert_eq!(teller.samples.len(), 3);
    assert_eq!(teller.samples[0].tags, "name:a_b,instance:unknown");
}

#[test]
fn l93_a_late_look_is_divided_by_the_time_that_has_passed() {
    let second = Duration::from_secs(1);
    assert_eq!(nanocores(Some(0), Some(3_000_000_000), 3 * second), Some(1e9));
    assert_eq!(nanocores(Some(0), Some(3_000_000_000), 300 * second), Some(1e7));
    assert_eq!(nanocores(Some(5), Some(5), second), Some(0.0), "idle is a value");
    assert_eq!(nanocores(Some(5), Some(4), second), None, "it began anew");
    assert_eq!(nanocores(None, Some(4), second), None);
    assert_eq!(nanocores(Some(0), Some(4), Duration::ZERO), None);
}

#[test]
fn what_was_used_until_a_look_that_came_too_soon_counts_at_the_next_one() {
    let plan = plan(Platform::LambdaMicroVm, Face::Entrypoint, true).expect("a plan");
    let mut teller = Teller::new(plan, &[], None);
    let now = Instant::now();
    let reading = |cpu_ns| Reading { cpu_ns: Some(cpu_ns), ..Reading::default() };
    teller.usage(reading(0), now);
    teller.usage(reading(1_000_000), now + Duration::from_millis(1));
    assert_eq!(teller.samples, []);
    teller.usage(reading(5_000_000), now + Duration::from_millis(10));
    let [sample] = &teller.samples[..] else { panic!("{:?}", teller.samples) };
    assert_eq!(sample.value, 5e8);
}

proptest! {
    #[test]
    fn no_reading_makes_a_number_that_is_none(
        readings in prop::collection::vec((any::<Option<u64>>(), any::<Option<u64>>(), 0u64..5_000_000_000), 1..6),
    ) {
        let plan = plan(Platform::CloudRunService, Face::Entrypoint, true).expect("a plan");
        let mut teller = Teller::new(plan, &[], None);
        let mut now = Instant::now();
        for (cpu_ns, received, nanos) in readings {
            now += Duration::from_nanos(nanos);
            teller.usage(Reading { cpu_ns, received, ..Reading::default() }, now);
        }
        for sample in &teller.samples {
            prop_assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
        }
    }
}
