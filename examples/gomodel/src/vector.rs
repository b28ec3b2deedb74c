//! Arithmetic of three numbers.

/// A position, a velocity or a force.
pub type Vec3 = [f64; 3];

/// Returns `a + b`.
pub fn add(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// Returns `a - b`.
pub fn sub(a: Vec3, b: Vec3) -> Vec3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// Returns `factor * a`.
pub fn scale(factor: f64, a: Vec3) -> Vec3 {
    [factor * a[0], factor * a[1], factor * a[2]]
}

/// Returns the scalar product.
pub fn dot(a: Vec3, b: Vec3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Returns the vector product.
pub fn cross(a: Vec3, b: Vec3) -> Vec3 {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

/// Returns the length.
pub fn norm(a: Vec3) -> f64 {
    dot(a, a).sqrt()
}
