//! What happens by itself: packets arrive, and timers expire.

use super::counters::Alarm;
use super::due::Happening;
use super::id::Id;
use super::object::Kind;
use super::world::World;

impl World {
    /// Lets all happen that is due by now.
    pub(crate) fn run_due(&mut self) {
        while let Some(what) = self.due.pop(self.now()) {
            match what {
                Happening::Packet(packet) => self.arrive(packet),
                Happening::Flight(flight) => self.flight_arrives(*flight),
                Happening::Alarm(id) => self.alarm_expires(id),
            }
        }
    }

    /// Lets a timerfd expire, if it is still set to a time that has come.
    pub(super) fn alarm_expires(&mut self, id: Id) {
        let now = self.now();
        if let Ok(object) = self.object(id)
            && let Kind::Alarm(alarm) = &mut object.kind
            && alarm.at.is_some_and(|at| at <= now)
        {
            *alarm = Alarm { at: None, has_expired: true };
            self.wake(id, libc::EPOLLIN as u32);
        }
    }
}
