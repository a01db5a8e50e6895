use super::{Message, Words};

pub(super) const WORDS: Words = Words {
    reference: "Reference",
    application: "Application",
    try_again: "Try again",
    questions: "Questions?",
    back_to: "Back to",

    consent_title: "Allow access?",
    consent_from: "An application from",
    consent_asks: "asks for access",
    consent_unnamed: "An application asks for access",
    changed_since_page: "The application's description or the rules here have changed since you were asked. Please look again.",
    calls_itself: "It calls itself",
    not_verified: "its own words, not verified by your organisation",
    name_withheld: "not shown until your administrator has approved the application",
    client_id: "Its identifier",
    part_of: "part of",
    reads_as: "reads as",
    answer_goes_to: "Your answer goes to",
    this_computer: "this computer",
    app_on_this_device: "an app on this device",
    wants_to_use: "It wants to use",
    signed_in_as: "Signed in as",
    not_you: "Not you?",
    known_here: "Known here",
    approved: "approved by your administrator",
    not_reviewed: "not reviewed by your administrator",
    nobody_yet: "nobody has used it here before",
    first_seen: "first seen",
    will_be_able_to: "It will be able to",
    will_also_be_able_to: "It will also be able to",
    keeps: "It keeps what you allowed before",
    stays_connected: "stay connected when you are not there, until you or an administrator end it",
    allow: "Allow",
    deny: "Deny",
    loopback_warning: "Any program on this computer could be asking in this application's name. Allow this only if you have just started it yourself.",
    mixed_script_warning: "This address mixes letters of different alphabets, as impostors do. Compare it letter by letter.",
    document_changed_warning: "The application's description has changed since you last allowed it.",

    pending_why: "Why do you need it? Your administrator will read this.",
    pending_send: "Send",
    pending_thanks: "Thank you. Your administrator can read what you wrote.",
    pending_tool: "For your administrator",

    account_title: "Connected applications",
    account_intro: "These applications can act for you. What you disconnect here can do nothing more from now on.",
    account_none: "No application is connected.",
    account_revoked: "Disconnected.",
    installation: "Where",
    resource: "For",
    scopes: "May",
    allowed: "Allowed",
    last_used: "Last used",
    disconnect: "Disconnect",
    disconnect_tool: "Disconnect everywhere",
    disconnect_all: "Disconnect all applications",
    sign_out: "Sign out",
};

pub(super) const fn message(message: Message) -> (&'static str, &'static str) {
    match message {
        Message::RequestBroken => (
            "This sign-in link is broken",
            "The application that sent you here made a request we cannot read. Go back to it and try again. If that does not help, tell the people who make it.",
        ),
        Message::FlowGone => (
            "This page has expired",
            "It was open for too long, was already answered, or belongs to another browser. Go back to the application and start again.",
        ),
        Message::NobodySignedIn => (
            "You are not signed in",
            "The application asked for an answer without showing you a page, but you are not signed in here. Go back to it and connect again.",
        ),
        Message::FormRefused => (
            "This form cannot be accepted",
            "It was not sent from the page we showed you. Nothing was allowed. Go back to the application and start again.",
        ),
        Message::AlreadyAnswered => {
            ("You have already answered this request", "Your first answer counts. Return to the application.")
        }
        Message::GroupNotAllowed => (
            "You may not use this application",
            "Your administrator allows it to some groups only, and you are in none of them.",
        ),
        Message::ClientMalformed => (
            "We do not know this application",
            "The application did not identify itself in a way we accept. Ask your administrator to register it, and pass on the details below.",
        ),
        Message::ClientUnknown => (
            "We do not know this application",
            "Nobody has registered it here. Ask your administrator to do so, and pass on the details below.",
        ),
        Message::ClientInvalid => (
            "This application cannot be verified",
            "The description that its maker publishes could not be read or is not in order. Nothing was allowed. Tell the people who make the application, or ask your administrator.",
        ),
        Message::ToolPending => (
            "This application is waiting for approval",
            "An administrator has to approve it before anybody here can use it. When that is done, connect again from the application.",
        ),
        Message::DocumentHeld => (
            "This application has changed",
            "What its maker publishes about it has changed in an important way. An administrator has to look at that before anybody can go on with it.",
        ),
        Message::ToolDisabled => (
            "This application is switched off here",
            "An administrator has disabled it. If you need it, ask them, and pass on the reference below.",
        ),
        Message::ToolWithdrawn => (
            "This application is no longer offered",
            "The people who make it have taken it back. Ask your administrator what to use instead.",
        ),
        Message::ClientUnreachable => (
            "This application cannot be checked right now",
            "The description that its maker publishes could not be reached. Nothing was allowed. Try again in a minute.",
        ),
        Message::RedirectUnknown => (
            "This application wants to be answered at an unknown address",
            "The address it gave is not one that its maker publishes, so we send nothing there. Tell the people who make the application.",
        ),
        Message::RedirectKind => (
            "This application may not be used in this way here",
            "The rules here do not allow the way in which it wants to be answered. Ask your administrator.",
        ),
        Message::SignInDenied => (
            "You were not signed in",
            "The sign-in was cancelled or refused, or was not strong enough. Try again, or go back to the application.",
        ),
        Message::SignInInvalid => (
            "You were not signed in",
            "The answer of the sign-in page could not be accepted. Try again, or go back to the application and start again.",
        ),
        Message::SignInUnavailable => (
            "Sign-in is not available right now",
            "The service that signs you in does not answer. Try again in a minute.",
        ),
        Message::Ours => (
            "Something is not working here",
            "We could not finish this. Nothing was changed. Try again in a minute.",
        ),
        Message::NotFound => (
            "There is no such page",
            "The address is not one of ours. If a link led you here, tell the people who made it.",
        ),
        Message::TooMany => (
            "Too many attempts",
            "Too many addresses of this web site were tried, and none led to an application. Wait a minute, then try again.",
        ),
        Message::Crowded => (
            "Many are asking at this moment",
            "So many people are opening applications that there was no room for you in time. Try again in a few seconds.",
        ),
        Message::Denied => (
            "You said no",
            "Nothing was allowed, and the application has not been told who you are. You can close this page.",
        ),
        Message::SignedOut => (
            "You are signed out here",
            "Your organisation's own sign-in may still remember you. Close the browser on a shared computer.",
        ),
    }
}
