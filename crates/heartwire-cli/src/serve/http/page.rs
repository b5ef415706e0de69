//! The page at `/`: one document without outside resources, put together by the compiler.

/// It has one `<style>` and one `<script>`, to which each answer adds its nonce.
pub(super) const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n</head>\n",
    include_str!("page/body.html"),
    "<script>\n",
    include_str!("page/tools.js"),
    include_str!("page/server.js"),
    include_str!("page/points.js"),
    include_str!("page/picture.js"),
    include_str!("page/heat.js"),
    include_str!("page/choosing.js"),
    include_str!("page/events.js"),
    include_str!("page/panels.js"),
    include_str!("page/session.js"),
    include_str!("page/actions.js"),
    "</script>\n</body>\n</html>\n",
);

#[cfg(test)]
mod tests {
    use heartwire::server::Stats;

    use super::*;

    #[test]
    fn page_knows_every_way_in_which_a_session_ends() {
        for (reason, _) in Stats::default().ends() {
            assert!(PAGE.contains(&format!("\"{reason}\"")), "{reason}");
        }
    }

    #[test]
    fn page_has_one_style_and_one_script() {
        for tag in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
    }
}
