//! From what a server answers to what a metric needs: one list of class probabilities, or one number, per row.

use pilothouse_domain::{Cell, Task};

/// Tolerance on the sum of class probabilities: servers answer in single precision.
const SUM_TOLERANCE: f64 = 1e-3;

/// Reads a model's answer for a task. Accepted per row: one probability per class (in the order of the task's classes),
/// the probability of the positive class (binary), a class label (as text or number), or a class index; for regression
/// one number. Labels become one-hot rows. The error says which row does not fit, and how.
pub fn outputs_for_task(task: &Task, rows: &[Vec<Cell>]) -> Result<Vec<Vec<f64>>, String> {
    let classes = task.classes();
    if classes.is_empty() {
        return rows.iter().enumerate().map(|(index, row)| regression(index, row)).collect();
    }
    // A lone number per row is a label when every row holds a whole number, and a probability otherwise: a model that
    // answers exactly 0 or 1 for all rows means the same either way.
    let lone_numbers_are_labels = rows.iter().all(|row| match row.as_slice() {
        [Cell::Number(value)] => value.fract() == 0.0,
        _ => true,
    });
    rows.iter().enumerate().map(|(index, row)| classification(index, row, classes, lone_numbers_are_labels)).collect()
}

fn regression(index: usize, row: &[Cell]) -> Result<Vec<f64>, String> {
    match row {
        [Cell::Number(value)] if value.is_finite() => Ok(vec![*value]),
        _ => Err(format!("row {index} should be one finite number, but is {}", describe(row))),
    }
}

fn classification(index: usize, row: &[Cell], classes: &[String], labels: bool) -> Result<Vec<f64>, String> {
    if row.len() == classes.len() && row.len() > 1 {
        let values = numbers(row).ok_or_else(|| {
            format!("row {index} should be {} probabilities, but is {}", classes.len(), describe(row))
        })?;
        let sum: f64 = values.iter().sum();
        if values.iter().any(|p| !(-SUM_TOLERANCE..=1.0 + SUM_TOLERANCE).contains(p))
            || (sum - 1.0).abs() > SUM_TOLERANCE
        {
            return Err(format!("row {index} holds no probabilities: they sum to {sum:.4}"));
        }
        return Ok(values);
    }
    match row {
        [Cell::Number(value)] if !labels && classes.len() == 2 => {
            if !(0.0..=1.0).contains(value) {
                return Err(format!("row {index} should be a probability, but is {value}"));
            }
            Ok(vec![1.0 - value, *value])
        }
        [cell @ (Cell::Number(_) | Cell::Text(_))] => {
            let position = class_index(cell, classes).ok_or_else(|| {
                format!("row {index} is {}, which is none of the classes {}", describe(row), classes.join(", "))
            })?;
            Ok((0..classes.len()).map(|class| f64::from(u8::from(class == position))).collect())
        }
        _ => {
            Err(format!("row {index} should be {} probabilities or one class, but is {}", classes.len(), describe(row)))
        }
    }
}

fn class_index(cell: &Cell, classes: &[String]) -> Option<usize> {
    match cell {
        Cell::Text(text) => classes.iter().position(|class| class == text),
        Cell::Number(value) => classes
            .iter()
            .position(|class| class.parse::<f64>().is_ok_and(|class| (class - value).abs() < 1e-9))
            .or_else(|| {
                let index = *value as usize;
                let names_are_numbers = classes.iter().any(|class| class.parse::<f64>().is_ok());
                (!names_are_numbers && value.fract() == 0.0 && *value >= 0.0 && index < classes.len()).then_some(index)
            }),
        Cell::Missing => None,
    }
}

fn numbers(row: &[Cell]) -> Option<Vec<f64>> {
    row.iter()
        .map(|cell| match cell {
            Cell::Number(value) if value.is_finite() => Some(*value),
            _ => None,
        })
        .collect()
}

fn describe(row: &[Cell]) -> String {
    match row {
        [] => "empty".to_owned(),
        [Cell::Number(value)] => format!("the number {value}"),
        [Cell::Text(text)] => format!("the text `{}`", text.chars().take(40).collect::<String>()),
        [Cell::Missing] => "null".to_owned(),
        many => format!("{} values", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary() -> Task {
        Task::Binary { classes: ["bad".into(), "good".into()] }
    }

    fn wine() -> Task {
        Task::Multiclass { classes: vec!["0".into(), "1".into(), "2".into()] }
    }

    fn number(value: f64) -> Vec<Cell> {
        vec![Cell::Number(value)]
    }

    #[test]
    fn probabilities_labels_and_indices_are_understood() {
        let rows = [vec![Cell::Number(0.25), Cell::Number(0.75)]];
        assert_eq!(outputs_for_task(&binary(), &rows), Ok(vec![vec![0.25, 0.75]]));
        assert_eq!(
            outputs_for_task(&binary(), &[number(0.75), number(1.0)]),
            Ok(vec![vec![0.25, 0.75], vec![0.0, 1.0]])
        );
        assert_eq!(outputs_for_task(&binary(), &[number(1.0), number(0.0)]), Ok(vec![vec![0.0, 1.0], vec![1.0, 0.0]]));
        assert_eq!(outputs_for_task(&binary(), &[vec![Cell::Text("bad".into())]]), Ok(vec![vec![1.0, 0.0]]));
        assert_eq!(outputs_for_task(&wine(), &[number(2.0)]), Ok(vec![vec![0.0, 0.0, 1.0]]));
        assert_eq!(outputs_for_task(&Task::Regression, &[number(151.5)]), Ok(vec![vec![151.5]]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |task: &Task, row: Vec<Cell>, expect: &str| {
            let error = outputs_for_task(task, &[row]).expect_err("does not fit");
            assert!(error.contains(expect), "{error}");
        };
        check(&binary(), vec![Cell::Text("ugly".into())], "none of the classes bad, good");
        check(&binary(), number(1.5), "should be a probability, but is 1.5");
        check(&wine(), number(3.0), "none of the classes");
        check(&wine(), vec![Cell::Number(0.5), Cell::Number(0.5), Cell::Number(0.5)], "sum to 1.5000");
        check(&Task::Regression, vec![Cell::Number(f64::NAN)], "one finite number");
        check(&Task::Regression, vec![Cell::Missing], "but is null");
    }
}
