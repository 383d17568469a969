//! Text from strangers, made fit to stand beside our own.
//!
//! Escaping keeps hostile text from becoming markup. It does not keep it from looking like something else: Unicode has
//! characters that reverse what follows, that show nothing, or that break the line. A consent page is read, so here
//! they lose their effect. (Look-alike letters cannot be taken out; the page says instead whether anybody checked the name.)

/// As many characters of a name as are shown; longer ones could push the rest of the page out of sight.
const NAME_LIMIT: usize = 80;

/// A name for people: one line, nothing invisible, at most 80 characters and an ellipsis; `(no name)` when nothing is
/// left.
#[must_use]
pub fn name(text: &str) -> String {
    let visible: String =
        text.chars().filter(|c| !is_invisible(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let one_line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.is_empty() {
        return "(no name)".to_owned();
    }
    match one_line.char_indices().nth(NAME_LIMIT) {
        Some((end, _)) => format!("{}…", one_line[..end].trim_end()),
        None => one_line,
    }
}

/// A host, scheme or URI for people: never shortened, because the end of a host name is the part that counts; what
/// cannot be seen is marked with U+FFFD instead of dropped.
#[must_use]
pub fn address(text: &str) -> String {
    text.chars().map(|c| if is_invisible(c) || c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// Characters that show nothing themselves, or change how their neighbours are shown. The joiners U+200C and U+200D
/// stay: Persian, Indic scripts and emoji need them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}' | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_name_is_left_alone() {
        for text in ["Claude", "VS Code", "Zürich-Bot 3", "کتاب‌خانه", "機械", "עוזר", "👩‍💻 helper"]
        {
            assert_eq!(name(text), text);
        }
    }

    #[test]
    fn a_name_cannot_reverse_or_hide_text() {
        assert_eq!(name("\u{202E}edualC\u{2066}\u{200B}"), "edualC");
        assert_eq!(name("Cl\u{AD}au\u{FEFF}de\u{E0041}"), "Claude");
    }

    #[test]
    fn a_name_stays_on_one_line() {
        assert_eq!(name("  Claude\r\n\n\tis  verified\u{85}"), "Claude is verified");
    }

    #[test]
    fn a_long_name_is_cut_with_an_ellipsis() {
        assert_eq!(name(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(name(&"é".repeat(81)), format!("{}…", "é".repeat(80)));
    }

    #[test]
    fn a_name_of_nothing_visible_is_called_that() {
        for text in ["", "   ", "\u{200B}\u{3164}", "\n"] {
            assert_eq!(name(text), "(no name)");
        }
    }

    #[test]
    fn an_address_is_never_shortened_and_shows_what_was_hidden_in_it() {
        let long = format!("{}.evil.example", "claude.ai.".repeat(24));
        assert_eq!(address(&long), long);
        assert_eq!(address("claude.ai\u{202E}\n"), "claude.ai\u{FFFD}\u{FFFD}");
    }
}
