//! A folder that does not answer, like one of a network that is away: whoever looks at it waits.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// A FUSE file system of which nobody reads the requests. Dropped, it answers every one with an error.
#[derive(Debug)]
pub struct HangingFolder {
    folder: TempDir,
    /// None once it is over.
    device: Option<File>,
}

impl HangingFolder {
    /// Mounts one. None where this user may not mount a FUSE file system: root may, on most machines.
    ///
    /// # Panics
    /// When there is no temporary folder.
    pub fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").ok()?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", device.as_raw_fd());
        let options = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).expect("one NUL at the end");
        mount("hanging", folder.path(), "fuse", MountFlags::empty(), options).ok()?;
        Some(Self { folder, device: Some(device) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for HangingFolder {
    fn drop(&mut self) {
        // Whoever waits for it goes on.
        self.device = None;
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}
