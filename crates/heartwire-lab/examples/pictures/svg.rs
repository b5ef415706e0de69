//! The few shapes that the pictures are made of.

use core::fmt::Write as _;

/// Sets its own background, so that it is legible on any page; dark where the system is.
const STYLE: &str = "\
    text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;\
    font-size:13px;fill:#1f2328}.quiet{fill:#59636e;font-size:12px}.title{font-size:15px;\
    font-weight:600}.page{fill:#ffffff;stroke:#d1d9e0}.line{stroke:#8c959f;stroke-width:1.5}\
    .grid{stroke:#d8dee4;stroke-width:1}.client{stroke:#0969da;fill:#0969da}.server{stroke:#bc4c00;\
    fill:#bc4c00}.thin{stroke-width:1.6}.bar{stroke-width:3}.lost{stroke-dasharray:3 3}\
    .curve{fill:none;stroke-width:1.8}\
    .bad{stroke:#cf222e;fill:#cf222e}.cross{stroke:#cf222e;stroke-width:2.6;fill:none}\
    .dash{stroke-dasharray:5 4}.window{fill:#cf222e;fill-opacity:.16}.still{fill:#59636e;\
    fill-opacity:.18}.held{fill:#bc4c00;fill-opacity:.3}\
    text.client,text.server,text.bad{stroke:none}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.page{fill:#0d1117;\
    stroke:#3d444d}.line{stroke:#6e7681}.grid{stroke:#2a313c}.client{stroke:#58a6ff;fill:#58a6ff}\
    .server{stroke:#f0883e;fill:#f0883e}.bad{stroke:#ff7b72;fill:#ff7b72}.cross{stroke:#ff7b72}\
    .window{fill:#ff7b72;fill-opacity:.24}.still{fill:#9198a1;fill-opacity:.22}\
    .held{fill:#f0883e;fill-opacity:.35}text.client,text.server,text.bad{stroke:none}\
    .curve{fill:none}}";

#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// A picture under way. Writing into a string cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    body: String,
}

impl Svg {
    pub(crate) fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: &str) {
        let anchor = anchor.name();
        let _ = writeln!(
            self.body,
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        );
    }

    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    pub(crate) fn rect(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x, y), (width, height)) = (from, (to.0 - from.0, to.1 - from.1));
        let _ = writeln!(
            self.body,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        );
    }

    /// An arrow straight up or down.
    pub(crate) fn arrow(&mut self, class: &str, x: f64, from_y: f64, to_y: f64) {
        let back = if to_y > from_y { -7.0 } else { 7.0 };
        self.line(&format!("{class} thin"), (x, from_y), (x, to_y + back));
        let y = to_y + back;
        let (left, right) = (x - 3.5, x + 3.5);
        let _ = writeln!(
            self.body,
            "<path class=\"{class}\" d=\"M{left:.1} {y:.1}L{right:.1} {y:.1}L{x:.1} {to_y:.1}Z\" \
             stroke=\"none\"/>"
        );
    }

    pub(crate) fn cross(&mut self, x: f64, y: f64, size: f64) {
        let (left, right, top, bottom) = (x - size, x + size, y - size, y + size);
        let _ = writeln!(
            self.body,
            "<path class=\"cross\" d=\"M{left:.1} {top:.1}L{right:.1} {bottom:.1}M{left:.1} \
             {bottom:.1}L{right:.1} {top:.1}\"/>"
        );
    }

    pub(crate) fn curve(&mut self, class: &str, points: &[(f64, f64)]) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(self.body, r#"<polyline class="{class} curve" points="{points}"/>"#);
    }

    pub(crate) fn finish(self, width: f64, height: f64, label: &str) -> String {
        let Self { body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">\n\
             <style>{STYLE}</style>\n\
             <rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>\n\
             {body}</svg>\n",
            width - 1.0,
            height - 1.0,
        )
    }
}
