//! What may happen next, and how often.

use proptest::{prelude::*, sample::Index, strategy::Union};

use super::{
    BROWSERS, Brought, Caller, Client, Companion, DAY, Fault, Governed, Issuer, SUBJECTS, Settings, Step, Token, World,
};

fn client() -> impl Strategy<Value = Client> {
    prop_oneof![Just(Client::Desk), Just(Client::Spa)]
}

fn issuer() -> impl Strategy<Value = Issuer> {
    prop_oneof![2 => Just(Issuer::Portal), 1 => Just(Issuer::Office)]
}

fn governed() -> impl Strategy<Value = Governed> {
    prop_oneof![Just(Governed::Everybody), client().prop_map(Governed::Client), issuer().prop_map(Governed::Issuer),]
}

/// Mostly in the past, so that some sessions are older and some are not; what lies ahead stops issue as well.
fn from_now() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -9 * i64::from(DAY)..0, 1 => -60i64..=0, 1 => 1i64..=300]
}

fn subject() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&SUBJECTS)
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![Just(Caller::Issuer), client().prop_map(Caller::Client)]
}

fn token() -> impl Strategy<Value = Token> {
    prop_oneof![Just(Token::Refresh), Just(Token::Access)]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        10 => Just(Fault::None),
        1 => Just(Fault::Lost),
        3 => Just(Fault::AnswerLost),
        2 => Just(Fault::SeenTwice),
        1 => Just(Fault::EndLost),
    ]
}

/// Seconds and milliseconds, hours, days, and back.
fn clock() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => 0i64..70_000,
        2 => -30_000i64..0,
        4 => (0i64..30).prop_map(|hours| hours * 3_600_000),
        1 => (0i64..9).prop_map(|days| days * 86_400_000),
    ]
}

/// Mostly the latest.
fn one_of(many: Vec<usize>) -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(many[many.len() - 1]), 1 => proptest::sample::select(many)]
}

impl World {
    /// What may happen next.
    pub(super) fn steps(&self) -> BoxedStrategy<Step> {
        let issue = (issuer(), client(), subject(), proptest::option::weighted(0.3, 60..2 * DAY))
            .prop_map(|(issuer, client, subject, expires_in)| Step::Issue { issuer, client, subject, expires_in });
        let begin = (client(), 0..BROWSERS, proptest::bool::weighted(0.95))
            .prop_map(|(client, browser, is_registered)| Step::Begin { client, browser, is_registered });
        let mut steps = vec![(2, issue.boxed()), (3, begin.boxed())];
        if self.sessions.is_empty() && self.sign_ins.is_empty() {
            return Union::new_weighted(steps).boxed();
        }
        steps.extend([
            (1, subject().prop_map(|subject| Step::EndAll { subject }).boxed()),
            (2, subject().prop_map(|subject| Step::List { subject }).boxed()),
            (12, clock().prop_map(Step::Clock).boxed()),
            (1, Just(Step::RotateKeys).boxed()),
            (1, Just(Step::Restart).boxed()),
            (2, settings().prop_map(Step::Settings).boxed()),
            (1, (governed(), from_now()).prop_map(|(whose, from_now)| Step::Epoch { whose, from_now }).boxed()),
        ]);
        if !self.sessions.is_empty() {
            let end = (0..self.sessions.len()).prop_map(|session| Step::EndOne { session });
            steps.push((1, end.boxed()));
        }
        steps.extend(self.steps_of_sign_ins());
        if self.sessions.iter().any(|life| !life.held.is_empty()) {
            steps.extend(self.steps_with_tokens());
        }
        Union::new_weighted(steps).boxed()
    }

    fn holding(&self) -> Vec<usize> {
        (0..self.sessions.len()).filter(|session| !self.sessions[*session].held.is_empty()).collect()
    }

    /// Of a session that the machine likes to stay with: a token that somebody has, mostly the latest or the one before.
    fn token(&self) -> impl Strategy<Value = (usize, u32)> + use<> {
        let held: Vec<Vec<u32>> = self.sessions.iter().map(|life| life.held.keys().copied().collect()).collect();
        let back = prop_oneof![10 => Just(0usize), 5 => Just(1), 1 => Just(2), 1 => any::<Index>().prop_map(|index| index.index(8))];
        (one_of(self.holding()), back).prop_map(move |(session, back)| {
            let generations = &held[session];
            (session, generations[generations.len() - 1 - back.min(generations.len() - 1)])
        })
    }

    /// Mostly its own client; somebody else now and then.
    fn by(&self) -> impl Fn(usize, bool) -> Client + use<> {
        let clients: Vec<Client> = self.sessions.iter().map(|life| life.client).collect();
        move |session, is_foreign| if is_foreign { clients[session].other() } else { clients[session] }
    }

    fn steps_with_tokens(&self) -> Vec<(u32, BoxedStrategy<Step>)> {
        let by = self.by();
        let companion = prop_oneof![
            12 => Just(Companion::Own),
            1 => Just(Companion::None),
            1 => proptest::sample::select(self.holding()).prop_map(Companion::Of),
        ];
        let renew = (self.token(), companion, fault(), proptest::bool::weighted(0.05)).prop_map(
            move |((session, generation), companion, fault, is_foreign)| {
                let by = by(session, is_foreign);
                Step::Renew { session, generation, by, companion, fault }
            },
        );
        let forge = (self.token(), 0usize..85 * 8).prop_map(|((session, generation), bit)| Step::Forge {
            session,
            generation,
            bit,
        });
        let revoke = (self.token(), caller(), token()).prop_map(|((session, generation), by, token)| Step::Revoke {
            session,
            generation,
            by,
            token,
        });
        let introspect = (self.token(), caller(), token())
            .prop_map(|((session, generation), by, token)| Step::Introspect { session, generation, by, token });
        let sign_out = self.token().prop_map(|(session, generation)| Step::SignOut { session, generation });
        vec![
            (30, renew.boxed()),
            (1, forge.boxed()),
            (1, revoke.boxed()),
            (4, introspect.boxed()),
            (1, sign_out.boxed()),
        ]
    }

    /// Mostly on with the sign-in that is under way.
    fn steps_of_sign_ins(&self) -> Vec<(u32, BoxedStrategy<Step>)> {
        let mut steps = Vec::new();
        let by_issuer = || prop_oneof![9 => Just(Issuer::Portal), 1 => Just(Issuer::Office)];
        if !self.sign_ins.is_empty() {
            let sign_in = || one_of((0..self.sign_ins.len()).collect());
            let accept = (sign_in(), by_issuer(), subject(), fault())
                .prop_map(|(sign_in, by, subject, fault)| Step::Accept { sign_in, by, subject, fault });
            let reject = (sign_in(), by_issuer()).prop_map(|(sign_in, by)| Step::Reject { sign_in, by });
            steps.extend([(if self.waits_for_the_portal() { 8 } else { 1 }, accept.boxed()), (1, reject.boxed())]);
        }
        if !self.answers.is_empty() {
            let browsers: Vec<usize> =
                self.answers.iter().map(|answer| self.sign_ins[answer.sign_in].browser).collect();
            let give_back = (one_of((0..self.answers.len()).collect()), proptest::bool::weighted(0.1)).prop_map(
                move |(answer, is_foreign)| {
                    let browser = browsers[answer];
                    Step::Return { answer, browser: if is_foreign { BROWSERS - 1 - browser } else { browser } }
                },
            );
            steps.push((if self.waits_for_the_browser() { 15 } else { 1 }, give_back.boxed()));
        }
        let codes: Vec<usize> =
            (0..self.sessions.len()).filter(|session| self.sessions[*session].is_code_out).collect();
        if !codes.is_empty() {
            let by = self.by();
            let brought = prop_oneof![
                12 => Just(Brought::Everything),
                1 => Just(Brought::AnotherVerifier),
                1 => Just(Brought::NoVerifier),
                1 => Just(Brought::AnotherRedirectUri),
            ];
            let exchange = (one_of(codes.clone()), brought, fault(), proptest::bool::weighted(0.05)).prop_map(
                move |(session, brought, fault, is_foreign)| {
                    let by = by(session, is_foreign);
                    Step::Exchange { session, by, brought, fault }
                },
            );
            let forge = (one_of(codes), 0usize..85 * 8).prop_map(|(session, bit)| Step::ForgeCode { session, bit });
            steps.extend([(if self.waits_for_the_client() { 25 } else { 2 }, exchange.boxed()), (1, forge.boxed())]);
        }
        steps
    }
}

pub(super) fn settings() -> impl Strategy<Value = Settings> {
    let seconds = |usual: u32, some: &'static [u32]| prop_oneof![2 => Just(usual), 1 => proptest::sample::select(some)];
    (
        seconds(DAY, &[1, 600, 7 * DAY]),
        seconds(0, &[3_600, 7 * DAY]),
        seconds(0, &[600, 12 * 3_600]),
        seconds(7 * DAY, &[3_600, 2 * DAY]),
        seconds(30 * DAY, &[3 * DAY, 7_200]),
        seconds(DAY, &[0, 3, 60]),
        seconds(60, &[0, 1, 300]),
    )
        .prop_map(|(access, grace, window, idle, absolute, retry_desk, retry_spa)| Settings {
            access,
            grace,
            window,
            idle,
            absolute,
            retry_desk,
            retry_spa,
        })
}
