//! Sorting where its speed does not matter: settings, files, what people read.
//!
//! The standard library's sorts are fast and large, 3 to 8 kB of the binary for each type and each order. Here all
//! share one; what each adds is some hundred bytes, and what each costs is a list of the places.

use std::cmp::Ordering;

/// Sorts by an order; what is equal stays as it was.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut places = places(items.len(), &|a, b| compare(&items[a], &items[b]));
    for place in 0..items.len() {
        // What stands here is brought where it belongs, until that is here.
        while places[place] != place {
            let target = places[place];
            items.swap(place, target);
            places.swap(place, target);
        }
    }
}

/// Sorts; what is equal stays as it was.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Where each of as many items belongs.
#[inline(never)]
fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    let mut places = vec![0; count];
    for (place, item) in order.into_iter().enumerate() {
        places[item] = place;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_the_standard_library(keys in proptest::collection::vec(0..20_u8, 0..100)) {
            let mut items: Vec<(u8, usize)> = keys.into_iter().zip(0..).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort_by(&mut items, |a, b| a.0.cmp(&b.0));
            prop_assert_eq!(&items, &expected);
            expected.sort_by(|a, b| b.cmp(a));
            sort_by(&mut items, |a, b| b.cmp(a));
            prop_assert_eq!(&items, &expected);
            expected.sort();
            sort(&mut items);
            prop_assert_eq!(items, expected);
        }
    }
}
