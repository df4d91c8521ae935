//! s
/// S
#[derive(Clone, Debug)]
pub struct Schema;
/// V
pub struct SchemaViolation {
    /// i
    pub instance: String,
    /// m
    pub message: String,
}
impl Schema {
    /// v
    pub fn validate(&self, _v: &crate::value::Value) -> Result<(), Vec<SchemaViolation>> {
        Ok(())
    }
}
