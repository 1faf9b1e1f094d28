//! Lambda's share of a processor: 1,769 MB are one whole core ("Configure Lambda function memory", Lambda Developer
//! Guide), and less memory is less of it, dealt out in short periods by the Linux scheduler.

use std::{
    fs,
    path::{Path, PathBuf},
};

const MEGABYTES_PER_CORE: u64 = 1769;
/// Lambda's scheduling period.
const PERIOD_MICROSECONDS: u64 = 20_000;

/// A control group with a share of processor time; it goes when it is dropped and its processes have ended.
pub struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// What a function of `megabytes` gets, or why this machine cannot say.
    pub fn of_memory(megabytes: u64) -> Result<Self, String> {
        let microseconds = PERIOD_MICROSECONDS * megabytes / MEGABYTES_PER_CORE;
        let name = format!("latchkey-bench-{}-{megabytes}", std::process::id());
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let v2 = Path::new("/sys/fs/cgroup");
        let (folder, settings) = if v1.join("cpu.cfs_quota_us").exists() {
            let settings = vec![
                ("cpu.cfs_period_us", PERIOD_MICROSECONDS.to_string()),
                ("cpu.cfs_quota_us", microseconds.to_string()),
            ];
            (v1.join(name), settings)
        } else if v2.join("cgroup.controllers").exists() {
            let _ = fs::write(v2.join("cgroup.subtree_control"), "+cpu");
            (v2.join(name), vec![("cpu.max", format!("{microseconds} {PERIOD_MICROSECONDS}"))])
        } else {
            return Err("there is no cgroup cpu controller".to_owned());
        };
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let quota = Self { folder };
        for (file, value) in settings {
            let file = quota.folder.join(file);
            fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(quota)
    }

    /// Puts a process, all its threads, into it.
    pub fn hold(&self, process: u32) {
        fs::write(self.folder.join("cgroup.procs"), process.to_string()).expect("the group takes the process");
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
