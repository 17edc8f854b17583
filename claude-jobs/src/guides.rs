//! The README and the guides in `docs/`, so that their snippets compile and run as documentation tests. Nothing
//! of this is in any build.

macro_rules! guides {
    ($($name:ident: $file:literal;)*) => {
        $(
            #[doc = include_str!(concat!("../../", $file))]
            struct $name;
        )*
    };
}

guides! {
    Readme: "README.md";
    Architecture: "docs/architecture.md";
    ComingFromOban: "docs/coming-from-oban.md";
    Features: "docs/features.md";
    GettingStarted: "docs/getting-started.md";
    JobLifecycle: "docs/job-lifecycle.md";
    Operating: "docs/operating.md";
    Performance: "docs/performance.md";
    RunningAFleet: "docs/running-a-fleet.md";
    Schedules: "docs/schedules.md";
    Security: "docs/security.md";
    Testing: "docs/testing.md";
    WorkerPatterns: "docs/worker-patterns.md";
}
