//! Workers in modules and functions: `new` is as visible as the struct, its fields as they say.

pub mod outer {
    pub mod inner {
        use claude_jobs::prelude::*;

        /// For everyone.
        #[claude_worker(queue = "q")]
        pub struct Everyone {
            /// As visible as it says.
            pub number: u64,
            hidden: String,
        }

        #[claude_worker(queue = "q", prompt = "Go.")]
        pub(in crate::outer) struct OfOuter;

        #[claude_worker(queue = "q", prompt = "Go {number}.")]
        pub(super) struct OfParent {
            pub(crate) number: u64,
            pub(self) _own: u8,
        }

        impl Everyone {
            /// Reads a field that only this module sees.
            pub fn hidden(&self) -> &str {
                &self.hidden
            }
        }
    }

    /// Uses what only this module sees.
    pub fn jobs() -> [claude_jobs::NewJob; 1] {
        let _ = inner::OfOuter::new();
        [inner::OfParent::new(1, 2).into_new_job().expect("a job")]
    }
}

fn main() {
    use claude_jobs::prelude::*;

    #[claude_worker(queue = "q", name = "local", prompt = "Go {number}.")]
    struct Local {
        number: u64,
    }
    impl Handler for Local {}

    let closure = || {
        #[claude_worker(queue = "q", name = "in-closure", prompt = "Go.")]
        struct Local;
        Local::new()
    };
    let _ = (outer::inner::Everyone::new(1, "x".into(), "Go."), outer::jobs(), Local::new(1), closure());
}
