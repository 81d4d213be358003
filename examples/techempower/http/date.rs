//! The Date header field.

/// A Date header field, complete with its name and line end. Formatting one takes a while, and its
/// unit is the second: so a server keeps one, and makes it anew when a timer fires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DateField([u8; 37]);

/// Where the digits stand.
const TEMPLATE: &[u8; 37] = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";

/// The first of January 1970 was a Thursday.
const DAY_NAMES: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

/// The year begins in March here: so the leap day comes last.
const MONTH_NAMES: [&[u8; 3]; 12] = [
    b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec", b"Jan", b"Feb",
];

impl DateField {
    /// The field for a second, counted from the beginning of 1970.
    pub fn at(seconds: u64) -> DateField {
        let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let date = CivilDate::from_days(days);
        let mut text = *TEMPLATE;
        text[6..9].copy_from_slice(DAY_NAMES[(days % 7) as usize]);
        text[14..17].copy_from_slice(date.month_name);
        put_two_digits(&mut text[11..13], date.day);
        put_two_digits(&mut text[18..20], date.year / 100);
        put_two_digits(&mut text[20..22], date.year % 100);
        put_two_digits(&mut text[23..25], second_of_day / 3600);
        put_two_digits(&mut text[26..28], second_of_day / 60 % 60);
        put_two_digits(&mut text[29..31], second_of_day % 60);
        DateField(text)
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for DateField {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

/// A day of the Gregorian calendar.
struct CivilDate {
    /// Of our era.
    year: u64,
    /// Its short name.
    month_name: &'static [u8; 3],
    /// From 1.
    day: u64,
}

impl CivilDate {
    /// The day that comes `days` after the first of January 1970.
    ///
    /// Counts in eras of 400 years, which all have the same number of days, and in years that begin
    /// on the first of March. 719,468 days lie between the first of March of the year 0 and 1970;
    /// five months from March on, and the next five, have 153 days.
    fn from_days(days: u64) -> CivilDate {
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let leap_days_passed = day_of_era / 1460 + day_of_era / 146_096;
        let year_of_era = (day_of_era - leap_days_passed + day_of_era / 36_524) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        CivilDate {
            year: 400 * era + year_of_era + u64::from(month >= 10),
            month_name: MONTH_NAMES[month as usize],
            day: day_of_year - (153 * month + 2) / 5 + 1,
        }
    }
}

/// Writes `value`, which is below 100.
fn put_two_digits(place: &mut [u8], value: u64) {
    place[0] = b'0' + (value / 10 % 10) as u8;
    place[1] = b'0' + (value % 10) as u8;
}
