//! The file of an SQLite database, and whether its path still leads to it.
//!
//! A file that was removed or replaced lives on for those who have it open: commits into it succeed and are gone with
//! the process. So nothing is acknowledged or answered from it. Moved back, it is the right one again; a new file needs
//! a new start, for what is kept in memory belongs to the old one.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use sea_orm::{DbErr, sqlx::sqlite::SqliteConnectOptions};

use crate::error::StoreError;

/// The file that was opened.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode: what a file is, whatever it is called.
type Identity = (u64, u64);

impl DatabaseFile {
    /// The file behind an address, which must be open already; none for an address that means no file.
    pub(crate) fn opened(database_url: &str) -> Result<Option<Self>, StoreError> {
        let Ok(options) = database_url.parse::<SqliteConnectOptions>() else {
            return Ok(None);
        };
        let path = options.get_filename().to_path_buf();
        match identity(&path) {
            Some(identity) => Ok(Some(Self { path, identity })),
            None => Err(gone(&path)),
        }
    }

    /// Whether the path still leads to the file that was opened. Costs one system call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it does not.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(gone(&self.path)),
        }
    }
}

fn identity(path: &std::path::Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn gone(path: &std::path::Path) -> StoreError {
    let cause = format!(
        "{} is not the file that was opened: put it back, or start again to use what is there now",
        path.display()
    );
    StoreError::Unavailable(Arc::new(DbErr::Custom(cause)))
}

#[cfg(test)]
mod tests {
    use super::DatabaseFile;
    use crate::error::StoreError;

    #[test]
    fn a_file_is_known_by_what_it_is_and_not_by_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, elsewhere] = ["a b.db", "other.db"].map(|name| folder.path().join(name));
        std::fs::write(&path, "one").expect("the file can be written");
        let url = format!("sqlite://{}", path.display()).replace(' ', "%20");
        let file = DatabaseFile::opened(&url)
            .expect("the file is there")
            .expect("it is a file");
        assert!(file.check().is_ok());
        std::fs::rename(&path, &elsewhere).expect("the file can be moved");
        assert!(matches!(file.check(), Err(StoreError::Unavailable(_))));
        std::fs::write(&path, "one").expect("the file can be written");
        assert!(matches!(file.check(), Err(StoreError::Unavailable(_))));
        std::fs::rename(&elsewhere, &path).expect("the file can be moved");
        assert!(file.check().is_ok());
    }
}
