//! "Did you mean": the known name that is nearest to a misspelt one.

/// The largest edit distance at which two names count as near.
const NEAR: usize = 2;

/// What other tools, and the command line of claude, call something: the name that it has here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("cwd", "working_dir"),
    ("working_directory", "working_dir"),
    ("directory", "working_dir"),
    ("continue", "resume"),
    ("session", "session_id"),
    ("mcp_servers", "mcp_config"),
    ("budget", "max_budget_usd"),
    ("max_cost", "max_budget_usd"),
    ("tools_allowed", "allowed_tools"),
    ("retries", "max_attempts"),
    ("max_retries", "max_attempts"),
    ("schedule", "cron"),
    ("tz", "timezone"),
];

/// The known name nearest to `name`, if one is near: the same in another spelling (`maxTurns`), what others
/// call it, one or two letters off, or a part of it (`budget_usd`, `pri`).
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let snake = snake_case(name);
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == snake).map(|(_, name)| *name);
    let rank = |candidate: &str| {
        let distance = edit_distance(name, candidate).min(edit_distance(&snake, candidate));
        if candidate == snake || Some(candidate) == other {
            Some(0)
        } else if distance <= NEAR && distance < candidate.len() {
            Some(distance)
        } else {
            has_words(candidate, &snake).then_some(NEAR + 1)
        }
    };
    let ranked = known.into_iter().filter_map(|candidate| Some((rank(candidate)?, candidate)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, candidate)| candidate)
}

/// `maxTurns`, `Max-Turns` and `--max-turns` as `max_turns`.
pub(crate) fn snake_case(name: &str) -> String {
    let name = name.trim_start_matches('-');
    if !name.chars().any(char::is_lowercase) {
        return name.to_lowercase().replace('-', "_");
    }
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        match letter {
            '-' | ' ' => snake.push('_'),
            letter => snake.extend(letter.to_lowercase()),
        }
    }
    snake
}

/// Whether the name begins with these letters, or ends with these words.
fn has_words(name: &str, words: &str) -> bool {
    let is_end = words.len() >= 4 && name.strip_suffix(words).is_some_and(|rest| rest.ends_with('_'));
    is_end || words.len() >= 3 && name.starts_with(words)
}

/// `: did you mean …?` or nothing, to follow the statement that a name is unknown.
pub(crate) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}

/// Levenshtein's distance: how many letters to insert, remove or replace.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [("", "", 0), ("queue", "queue", 0), ("queu", "queue", 1), ("kitten", "sitting", 3)];
        for (left, right, distance) in cases {
            assert_eq!(edit_distance(left, right), distance, "{left} {right}");
            assert_eq!(edit_distance(right, left), distance, "{right} {left}");
        }
    }

    #[test]
    fn the_nearest_name_wins_if_it_is_near() {
        let known = ["max_turns", "max_budget_usd", "model", "tools"];
        assert_eq!(nearest("max_turn", known), Some("max_turns"));
        assert_eq!(nearest("modle", known), Some("model"));
        assert_eq!(nearest("verbose", known), None);
        for spelling in ["maxTurns", "max-turns", "--max-turns", "MaxTurns", "MAX_TURNS", "turns"] {
            assert_eq!(nearest(spelling, known), Some("max_turns"), "{spelling}");
        }
        assert_eq!(nearest("max_cost", known), Some("max_budget_usd"));
        assert_eq!(nearest("max_budget", known), Some("max_budget_usd"));
        assert_eq!(nearest("ab", ["cd"]), None, "nothing in common is not near");
    }
}
