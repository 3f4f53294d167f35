//! Counts explained by few terms: a log-linear regression (a generalised linear model with the log link and Poisson
//! errors), fitted by iterated weighted least squares (McCullagh and Nelder 1989). Variances are multiplied by a
//! dispersion that the caller measures.

/// An observed count.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The count.
    pub count: f64,
    /// The expected count is in proportion to this.
    pub exposure: f64,
    /// The terms; the first is 1.
    pub terms: Vec<f64>,
}

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Coefficients of the terms, on the scale of natural logarithms.
    pub coefficients: Vec<f64>,
    /// Lower triangular square root of their covariance for a dispersion of 1.
    pub root: Vec<Vec<f64>>,
    /// Deviance: twice the distance of the log-likelihood from that of a perfect fit.
    pub deviance: f64,
}

impl Fit {
    /// The expected count per unit of exposure.
    #[must_use]
    pub fn rate(&self, terms: &[f64]) -> f64 {
        product(&self.coefficients, terms).exp()
    }
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Fits the regression; `None` where the terms do not determine it.
#[must_use]
pub fn fit(observations: &[Observation]) -> Option<Fit> {
    let terms = observations.first()?.terms.len();
    let (count, exposure) = observations.iter().fold((0.0, 0.0), |sum, own| (sum.0 + own.count, sum.1 + own.exposure));
    if count <= 0.0 || exposure <= 0.0 || observations.len() < terms {
        return None;
    }
    let mut coefficients = vec![0.0; terms];
    coefficients[0] = (count / exposure).ln();
    let mut information = Vec::new();
    for _ in 0..25 {
        information = vec![vec![0.0; terms]; terms];
        let mut score = vec![0.0; terms];
        for own in observations {
            let expected = own.exposure * product(&coefficients, &own.terms).clamp(-30.0, 30.0).exp();
            for (row, term) in own.terms.iter().enumerate() {
                score[row] += term * (own.count - expected);
                for (column, other) in own.terms.iter().enumerate() {
                    information[row][column] += expected * term * other;
                }
            }
        }
        let step = solve(&cholesky(&information)?, &score);
        coefficients.iter_mut().zip(&step).for_each(|(own, step)| *own += step.clamp(-2.0, 2.0));
        if step.iter().all(|step| step.abs() < 1e-9) {
            break;
        }
    }
    let deviance = observations.iter().map(|own| {
        let expected = own.exposure * product(&coefficients, &own.terms).exp();
        let log = if own.count > 0.0 { own.count * (own.count / expected).ln() } else { 0.0 };
        2.0 * (log - own.count + expected)
    });
    Some(Fit { root: inverse_root(&cholesky(&information)?), deviance: deviance.sum(), coefficients })
}

/// The lower triangular root of a symmetric positive definite matrix.
fn cholesky(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    let mut root = vec![vec![0.0; size]; size];
    for row in 0..size {
        for column in 0..=row {
            let sum: f64 = (0..column).map(|other| root[row][other] * root[column][other]).sum();
            let rest = matrix[row][column] - sum;
            if row == column {
                if rest <= 1e-9 * matrix[row][row].abs() {
                    return None;
                }
                root[row][row] = rest.sqrt();
            } else {
                root[row][column] = rest / root[column][column];
            }
        }
    }
    Some(root)
}

/// Solves `root rootᵀ x = right`.
fn solve(root: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let size = root.len();
    let mut x = right.to_vec();
    for row in 0..size {
        let sum: f64 = (0..row).map(|column| root[row][column] * x[column]).sum();
        x[row] = (x[row] - sum) / root[row][row];
    }
    for row in (0..size).rev() {
        let sum: f64 = (row + 1..size).map(|column| root[column][row] * x[column]).sum();
        x[row] = (x[row] - sum) / root[row][row];
    }
    x
}

/// A root of the inverse of `root rootᵀ`: the inverse of `rootᵀ`.
fn inverse_root(root: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let size = root.len();
    let column = |unit: usize| {
        // Solves `rootᵀ x = unit`, from the last row up.
        let mut x = vec![0.0; size];
        for row in (0..size).rev() {
            let right = if row == unit { 1.0 } else { 0.0 };
            let sum: f64 = (row + 1..size).map(|other| root[other][row] * x[other]).sum();
            x[row] = (right - sum) / root[row][row];
        }
        x
    };
    let columns: Vec<Vec<f64>> = (0..size).map(column).collect();
    (0..size).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts that follow a trend exactly give the trend, and their sum's relative error is one over its root.
    #[test]
    fn a_trend_is_recovered() {
        let own = |t: f64| Observation { count: 100.0 * (0.5 + 0.1 * t).exp(), exposure: 100.0, terms: vec![1.0, t] };
        let fitted = fit(&(0..12).map(|t| own(f64::from(t))).collect::<Vec<_>>()).unwrap();
        assert!((fitted.coefficients[0] - 0.5).abs() < 1e-9 && (fitted.coefficients[1] - 0.1).abs() < 1e-9);
        assert!(fitted.deviance.abs() < 1e-6);
        let level: Vec<Observation> =
            (0..4).map(|_| Observation { count: 25.0, exposure: 1.0, terms: vec![1.0] }).collect();
        assert!((fit(&level).unwrap().root[0][0] - 0.1).abs() < 1e-9);
    }
}
