//! Pages that fit into one message.

use prost::Message;

/// How many of the first entries have at most so many bytes together; at least one. When that is not all of them, the
/// catalog is asked again for so many: only it can make the token of the next page.
pub(crate) fn fitting<T: Message>(entries: &[T], page_bytes: u64) -> u32 {
    let mut sum = 0;
    let fits = entries.iter().take_while(|entry| {
        sum += entry.encoded_len() as u64;
        sum <= page_bytes
    });
    u32::try_from(fits.count().max(1).min(entries.len())).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_before_it_is_too_long() {
        let entries: Vec<String> = vec!["x".repeat(98); 5];
        assert_eq!(entries[0].encoded_len(), 100);
        assert_eq!(fitting(&entries, 500), 5);
        assert_eq!(fitting(&entries, 499), 4);
        assert_eq!(fitting(&entries, 1), 1);
        assert_eq!(fitting::<String>(&[], 1), 0);
    }
}
