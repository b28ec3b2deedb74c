//! The little of `.gitignore` that this tree uses: names, names at the root, folders, and endings.

/// What a walk of the tree leaves out.
pub struct Ignored {
    rules: Vec<String>,
}

impl Ignored {
    /// Reads the rules of one `.gitignore` at the root; git's own folder is always left out.
    pub fn read(text: &str) -> Self {
        let rules = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rules = rules.map(|rule| rule.trim_end_matches('/').to_owned());
        Self {
            rules: rules.chain([".git".to_owned()]).collect(),
        }
    }

    /// Tells whether the file or folder at `path` is left out. A walk that asks at every level needs no more.
    pub fn covers(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.rules.iter().any(|rule| {
            if let Some(rooted) = rule.strip_prefix('/') {
                rooted == path
            } else if let Some(ending) = rule.strip_prefix('*') {
                name.ends_with(ending)
            } else if rule.contains('/') {
                rule == path
            } else {
                rule == name
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Ignored;

    #[test]
    fn rules_are_read_as_git_reads_them() {
        let ignored = Ignored::read("# made by cargo\n/target\n__pycache__/\n*.so\n\n");
        for out in ["target", "python/__pycache__", "a/b/c.so", ".git"] {
            assert!(ignored.covers(out), "{out} must be left out");
        }
        for kept in ["crates/target", ".gitignore", "c.sol", "so"] {
            assert!(!ignored.covers(kept), "{kept} must be kept");
        }
    }
}
