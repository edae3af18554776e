//! Published vectors of the reference's card number tests.

use super::*;
use proptest::prelude::*;

fn cards(luhn: bool, keep_values: &[&str]) -> Cards {
    let keep_values = keep_values.iter().map(|key| (*key).to_owned()).collect();
    Cards::new(CreditCardConfig { enabled: true, luhn, keep_values })
}

#[test]
fn card_numbers_are_hidden() {
    for value in VALID {
        assert!(cards(false, &[]).hides("key", value), "{value:?}");
    }
}

#[test]
fn other_values_are_not() {
    for value in INVALID {
        assert!(!cards(false, &[]).hides("key", value), "{value:?}");
    }
}

#[test]
fn a_checksum_can_be_asked_for() {
    assert!(cards(true, &[]).hides("key", "4111 1111 1111 1111"));
    assert!(cards(false, &[]).hides("key", "4111 1111 1111 1112"));
    assert!(!cards(true, &[]).hides("key", "4111 1111 1111 1112"));
    assert!(cards(true, &[]).hides("key", "378282246310005"));
}

#[test]
fn some_tags_are_never_looked_at() {
    let card = "4111111111111111";
    for key in NEVER.iter().chain(&["_private", "mine"]) {
        assert!(!cards(false, &["mine"]).hides(key, card), "{key}");
    }
    assert!(cards(false, &[]).hides("mine", card));
    assert!(cards(false, &[]).hides("http.url", card));
}

#[test]
fn the_list_of_tags_can_be_searched() {
    assert!(NEVER.is_sorted());
}

#[test]
fn numbers_are_judged_as_they_are_written() {
    let cards = cards(false, &[]);
    assert!(cards.hides_integer("key", 4_111_111_111_111_111));
    assert!(cards.hides_integer("key", -4_111_111_111_111_111));
    assert!(!cards.hides_integer("key", 41_111_111_111));
    assert!(!cards.hides_integer("key", 41_111_111_111_111_111));
    assert!(!cards.hides_integer("key", i64::MIN));
    assert!(cards.hides_double("key", 4_111_111_111_111_111.0));
    assert!(!cards.hides_double("key", 411_111_111_111.5));
    assert!(!cards.hides_double("key", f64::NAN));
    assert!(!cards.hides_double("key", f64::INFINITY));
}

/// The issuers' ranges written down the other way: digit by digit, as the reference walks them.
fn issued(digits: &str) -> bool {
    let number = |length: usize| digits[..length].parse::<u32>().expect("digits");
    matches!(number(1), 1 | 4)
        || matches!(number(2), 34..=39 | 51..=55 | 62 | 65)
        || matches!(number(3), 300..=305 | 309 | 636 | 644..=649)
        || matches!(number(4), 3528..=3589 | 5019 | 6011)
        || matches!(number(6), 222_100..=272_099 | 500_000..=509_999 | 560_000..=589_999 | 600_000..=699_999)
}

proptest! {
    #[test]
    fn twelve_to_sixteen_digits_of_an_issuer_are_a_card(digits in "[0-9]{10,18}") {
        let expected = (12..=16).contains(&digits.len()) && issued(&digits);
        prop_assert_eq!(cards(false, &[]).hides("key", &digits), expected);
    }

    #[test]
    fn spaces_and_dashes_change_nothing_and_anything_else_does(
        digits in "[1-6][0-9]{10,16}", at in 0_usize..10, other in "[^0-9 -]"
    ) {
        let cards = cards(false, &[]);
        let spaced = format!("{} -{}", &digits[..at], &digits[at..]);
        prop_assert_eq!(cards.hides("key", &spaced), cards.hides("key", &digits));
        let spoilt = format!("{}{other}{}", &digits[..at], &digits[at..]);
        prop_assert!(!cards.hides("key", &spoilt));
    }

    #[test]
    fn no_value_panics(key in "(?s).{0,10}", value in "(?s).{0,30}|[-0-9 ]{0,30}") {
        cards(true, &[]).hides(&key, &value);
    }
}

const VALID: &[&str] = &[
    "378282246310005",
    "  378282246310005",
    "  3782-8224-6310-005 ",
    "371449635398431",
    "378734493671000",
    "5610591081018250",
    "30569309025904",
    "38520000023237",
    "6011 1111 1111 1117",
    "6011000990139424",
    " 3530111333--300000  ",
    "3566002020360505",
    "5555555555554444",
    "5105-1051-0510-5100",
    " 4111111111111111",
    "4012888888881881 ",
    "422222 2222222",
    "5019717010103742",
    "6331101999990016",
    " 4242-4242-4242-4242 ",
    "4242-4242-4242-4242 ",
    "4242-4242-4242-4242  ",
    "4000056655665556",
    "2223003122003222",
    "5200828282828210",
    "5105105105105100",
    "6011111111111117",
    "3056930009020004",
    "620000000000000",
    "2222 4053 4324 8877",
    "2222 9909 0525 7051",
    "2223 0076 4872 6984",
    "2223 5771 2001 7656",
    "5105 1051 0510 5100",
    "5111 0100 3017 5156",
    "5185 5408 1000 0019",
    "5200 8282 8282 8210",
    "5204 2300 8000 0017",
    "5204 7400 0990 0014",
    "5420 9238 7872 4339",
    "5455 3307 6000 0018",
    "5506 9004 9000 0436",
    "5506 9004 9000 0444",
    "5506 9005 1000 0234",
    "5506 9208 0924 3667",
    "5506 9224 0063 4930",
    "5506 9274 2731 7625",
    "5553 0422 4198 4105",
    "5555 5537 5304 8194",
    "5555 5555 5555 4444",
    "4012 8888 8888 1881",
    "4111 1111 1111 1111",
    "6011 0009 9013 9424",
    "3714 496353 98431",
    "3782 822463 10005",
    "3056 9309 0259 04",
    "3852 0000 0232 37",
    "3530 1113 3330 0000",
    "3566 0020 2036 0505",
    "3700 0000 0000 002",
    "3700 0000 0100 018",
    "6703 4444 4444 4449",
    "4871 0499 9999 9910",
    "4035 5010 0000 0008",
    "4360 0000 0100 0005",
    "6243 0300 0000 0001",
    "5019 5555 4444 5555",
    "3607 0500 0010 20",
    "6011 6011 6011 6611",
    "6445 6445 6445 6445",
    "5066 9911 1111 1118",
    "6062 8288 8866 6688",
    "3569 9900 1009 5841",
    "6771 7980 2100 0008",
    "2222 4000 7000 0005",
    "5555 3412 4444 1115",
    "5577 0000 5577 0004",
    "5555 4444 3333 1111",
    "2222 4107 4036 0010",
    "2222 4107 0000 0002",
    "2222 4000 1000 0008",
    "2223 0000 4841 0010",
    "2222 4000 6000 0007",
    "2223 5204 4356 0010",
    "2222 4000 3000 0004",
    "5100 0600 0000 0002",
    "2222 4000 5000 0009",
    "1354 1001 4004 955",
    "4111 1111 4555 1142",
    "4988 4388 4388 4305",
    "4166 6766 6766 6746",
    "4646 4646 4646 4644",
    "4000 6200 0000 0007",
    "4000 0600 0000 0006",
    "4293 1891 0000 0008",
    "4988 0800 0000 0000",
    "4444 3333 2222 1111",
    "4001 5900 0000 0001",
    "4000 1800 0000 0002",
    "4000 0200 0000 0000",
    "4000 1600 0000 0004",
    "4002 6900 0000 0008",
    "4400 0000 0000 0008",
    "4484 6000 0000 0004",
    "4607 0000 0000 0009",
    "4977 9494 9494 9497",
    "4000 6400 0000 0005",
    "4003 5500 0000 0003",
    "4000 7600 0000 0001",
    "4017 3400 0000 0003",
    "4005 5190 0000 0006",
    "4131 8400 0000 0003",
    "4151 5000 0000 0008",
    "4571 0000 0000 0001",
    "4199 3500 0000 0002",
    "4001 0200 0000 0009",
];

const INVALID: &[&str] = &[
    "37828224631000521389798",
    "37828224631",
    "   3782822-4631 ",
    "3714djkkkksii31",
    "x371413321323331",
    "",
    "7712378231899",
    "   -  ",
    "3714djkkkksii3三",
];
