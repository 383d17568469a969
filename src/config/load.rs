//! The only place that reads the file, the environment of the process and the files that settings name.

use std::{fs, io, path::Path};

use super::{
    Config, Problems, Source, embedded,
    problem::{Place, Problem},
};

/// Reads the configuration: `default.toml`, then `file`, then `environment`. Without a file, and unless the environment speaks of
/// production (`GATEWARD_MODE`, or an https `GATEWARD_ISSUER`), the embedded `development.toml` takes the place of the file.
///
/// # Errors
///
/// Every problem that was found, with its place.
pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Config, Problems> {
    let environment = environment.into_iter().collect();
    let read = |path: &Path| fs::read_to_string(path);
    let Some(path) = file else {
        return Config::read(embedded(&environment), &environment, &read);
    };
    let name = path.display().to_string();
    let text = read(path).map_err(|error| {
        Problems(vec![Problem { place: Place::File(name.clone()), message: format!("cannot be read: {error}") }])
    })?;
    Config::read(Source { name: &name, text: &text }, &environment, &read)
}

/// The environment of the process. A value that is not UTF-8 is marked as such and refused where it is used.
pub fn process_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
}

/// Why a file is no place for a key: others may read or change it. `None` if it is.
#[cfg(unix)]
pub(super) fn exposure(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;

    // Opened, not only looked at: the server must be able to read it.
    let metadata = fs::File::open(path)?.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    // A group may read: that is how orchestrators hand secrets to a user that is not root.
    Ok((mode & 0o027 != 0).then(|| format!("is open to others (mode {mode:04o})")))
}

/// Why a file is no place for a key. Permissions are known on Unix only.
#[cfg(not(unix))]
pub(super) fn exposure(path: &Path) -> io::Result<Option<String>> {
    fs::File::open(path).map(|_| None)
}
