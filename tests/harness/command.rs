//! What a command of ours said, and how it ended.

use std::process::Output;

/// What it said when it was done.
#[track_caller]
pub(crate) fn said(output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// What it complained of when it gave up with this exit status.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    complaint
}
