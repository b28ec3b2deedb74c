//! Mean and spread of a stream of numbers in one pass (Welford, Technometrics 4:419, 1962).

/// The statistics of the numbers added so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Statistics {
    count: u32,
    mean: f64,
    square_sum: f64,
}

impl Statistics {
    /// Adds a number.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        let before = number - self.mean;
        self.mean += before / f64::from(self.count);
        self.square_sum += before * (number - self.mean);
    }

    /// Returns how many numbers were added.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Returns the mean; 0 of no numbers.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the standard deviation of the population the numbers are a sample of; 0 of fewer than two numbers.
    pub fn standard_deviation(&self) -> f64 {
        if self.count < 2 {
            0.0
        } else {
            (self.square_sum / f64::from(self.count - 1)).sqrt()
        }
    }

    /// Returns the standard error of the mean, as if the numbers were independent; 0 of fewer than two numbers.
    pub fn standard_error(&self) -> f64 {
        if self.count < 2 {
            0.0
        } else {
            self.standard_deviation() / f64::from(self.count).sqrt()
        }
    }
}
