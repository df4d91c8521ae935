//! What a weather station recorded, minute by minute, on one day: `examples/data/README.md` tells its origin and licence.

const TEXT: &str = include_str!("../../../examples/data/alamosa-2016-01-01.csv");

/// One reading. The fields that are only passed on stay the text they were recorded as.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// When it was recorded.
    pub time: String,
    /// Members of a JSON object, without braces.
    members: String,
    /// m/s
    pub wind_speed: f64,
}

/// The recorded day.
#[derive(Debug)]
pub(super) struct Recording(Vec<Reading>);

impl Recording {
    /// Reads what is built in.
    ///
    /// # Errors
    /// The line that is no reading.
    pub(super) fn load() -> Result<Recording, String> {
        let mut lines = TEXT.lines();
        let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let reading = |line: &str| -> Option<Reading> {
            let values: Vec<&str> = line.split(',').collect();
            let wind = columns.iter().position(|column| *column == "windSpeed")?;
            let pairs = columns.iter().zip(&values).skip(1);
            let numbers: Vec<String> = pairs.map(|(column, value)| format!(r#""{column}":{value}"#)).collect();
            Some(Reading {
                time: (*values.first()?).to_owned(),
                members: format!(r#""time":"{}",{}"#, values.first()?, numbers.join(",")),
                wind_speed: values.get(wind)?.parse().ok()?,
            })
        };
        let readings = lines.map(|line| reading(line).ok_or_else(|| format!("no reading: {line}")));
        Ok(Recording(readings.collect::<Result<_, _>>()?))
    }

    /// How many readings there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A reading; after the last one comes the first.
    pub(super) fn at(&self, index: usize) -> &Reading {
        &self.0[index % self.0.len()]
    }
}

impl Reading {
    /// The message of a device.
    pub(super) fn payload(&self, id: &str, device: &str) -> String {
        format!(r#"{{"id":"{id}","device":"{device}",{}}}"#, self.members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_minutes_that_are_json() {
        let recording = Recording::load().expect("a recording");
        assert_eq!(recording.len(), 1440);
        let payload: serde_json::Value =
            serde_json::from_str(&recording.at(1440 + 61).payload("r7", "d1")).expect("JSON");
        let expected = serde_json::json!({
            "id": "r7", "device": "d1", "time": "2016-01-01T01:01:00Z", "temperature": payload["temperature"],
            "humidity": payload["humidity"], "windSpeed": recording.at(61).wind_speed,
            "windDirection": payload["windDirection"], "pressure": payload["pressure"],
            "irradiance": payload["irradiance"],
        });
        assert_eq!(payload, expected);
        for minute in 0..recording.len() {
            let reading: serde_json::Value = serde_json::from_str(&recording.at(minute).payload("", "")).expect("JSON");
            assert!((-30.0..0.0).contains(&reading["temperature"].as_f64().expect("a number")), "{reading}");
        }
    }
}
