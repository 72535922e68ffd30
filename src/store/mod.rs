pub fn migrate(_u: &str) -> Result<u32, String> {
    Ok(0)
}
