use smi_sweep::*;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let pool = pool::Pool::new(Some(a[2].parse().unwrap()));
    let w = watch::Unwatched;
    let t = std::time::Instant::now();
    let s = snapshot::Snapshot::open(&[a[1].clone().into()], &Default::default(), &pool, &w)
        .unwrap_or_else(|e| panic!("{e}"));
    println!("open {:?}", t.elapsed());
    let p=[policy::Policy::parse("name='a'\nversion=1\n[threshold]\ndefault=12\n[exclude]\ntypes=['CommsHub']\n[guard]\nmax_deletes=1000000000\nmax_delete_share=1.0\nmax_quarantined=100000000","x").unwrap()];
    let o = sweep::Options {
        policies: &p,
        as_of: estate::time::parse("2026-11-01").unwrap(),
        expected: Default::default(),
        duplicates: &[],
        reader: if a.len() > 3 { sweep::Reader::Reference } else { sweep::Reader::Encoded },
    };
    let r = sweep::sweep(&s, &o, &pool, &w).unwrap_or_else(|e| panic!("{e}"));
    println!("sweep {:?} {:?}", t.elapsed(), r[0].findings.by_type.total());
    let st = run::Staging::new(std::path::Path::new("/tmp/tryout")).unwrap();
    let m = run::manifest::Manifests {
        findings: &r[0].findings,
        types: &p[0].types,
        alert_code: "N8",
        due_on: &|t, d| r[0].rules.due_on(t, d).unwrap(),
        locate: &|r| s.locate(r).map(|(f, n)| (f.name.as_str(), n)).unwrap(),
    };
    println!("{:?}", run::manifest::write(st.path(), &m, &pool).unwrap());
    println!("wrote {:?}", t.elapsed());
    st.publish().unwrap();
    println!("published {:?}", t.elapsed());
}
